//! APNG whose default image is not part of the animation (PNG specification, 11.3.6): browsers show the first frame.

use std::io::{self, BufRead, Seek};
use std::ops::RangeInclusive;

use super::chunks::{CRC_BYTES, SIGNATURE_BYTES, next_chunk, read};

/// Length of the data of `fcTL`.
const FRAME_CONTROL_BYTES: usize = 26;

/// The numbers of frames that are valid (PNG specification, sections 7.1 and 11.3.6.1).
const FRAMES: RangeInclusive<u32> = 1..=0x7fff_ffff;

/// Where the data of the first frame begin, if the default image is not that frame. `None` if the frame does not cover
/// the whole image, or if its chunks are invalid: browsers do not show such files.
pub(super) fn first_frame(file: &mut (impl BufRead + Seek)) -> io::Result<Option<u64>> {
    file.seek_relative(SIGNATURE_BYTES as i64)?;
    let (mut is_animated, mut has_default, mut size) = (false, false, [0; 8]);
    let frame = loop {
        let Some((length, name)) = next_chunk(file)? else { return Ok(None) };
        let mut rest = length;
        match &name {
            b"IHDR" if length >= 8 => {
                size = read(file)?.unwrap_or_default();
                rest -= 8;
            }
            b"acTL" if !has_default && length == 8 => {
                is_animated = read(file)?.is_some_and(|count| FRAMES.contains(&u32::from_be_bytes(count)));
                rest -= 4;
            }
            b"IDAT" if is_animated => has_default = true,
            b"fcTL" if has_default && length as usize == FRAME_CONTROL_BYTES => {
                break read::<FRAME_CONTROL_BYTES>(file)?;
            }
            b"IDAT" | b"fcTL" | b"fdAT" | b"IEND" => return Ok(None),
            _ => {}
        }
        file.seek_relative(i64::from(rest) + i64::from(CRC_BYTES))?;
    };
    // Number 0, the size, and an offset of 0.
    let whole = [&[0; 4], &size[..], &[0; 8]].concat();
    if frame.is_none_or(|frame| !frame.starts_with(&whole)) {
        return Ok(None);
    }
    file.seek_relative(CRC_BYTES.into())?;
    let begins_at = file.stream_position()?;
    let is_first =
        matches!(next_chunk(file)?, Some((4.., name)) if name == *b"fdAT") && read(file)? == Some([0, 0, 0, 1]);
    Ok(is_first.then_some(begins_at))
}
