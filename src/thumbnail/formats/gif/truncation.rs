//! Detects a truncated GIF by its missing blocks.

/// Blocks up to the end of the first image (GIF89a, 18 to 22), or up to the trailer without an image.
pub(super) fn complete(bytes: &[u8]) -> Option<()> {
    let colours = |flags: u8| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    let mut rest = bytes.get(13 + colours(*bytes.get(10)?)..)?;
    loop {
        match *rest.first()? {
            0x21 => rest = sub_blocks(rest.get(2..)?)?,
            0x2c => {
                let data = 10 + colours(*rest.get(9)?) + 1;
                return sub_blocks(rest.get(data..)?).map(|_| ());
            }
            // The trailer, or an invalid block that the decoder rejects.
            _ => return Some(()),
        }
    }
}

/// Skips data sub-blocks: a length byte and that many bytes, up to a length of 0.
fn sub_blocks(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, after) = rest.split_first()?;
        if length == 0 {
            return Some(after);
        }
        rest = after.get(usize::from(length)..)?;
    }
}
