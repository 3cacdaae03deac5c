//! Image data whose CRC is wrong, as after edits that do not update it, or when the end of a file is overwritten. The
//! zlib stream has a checksum of its own, over the decompressed rows.

use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};

use png::{DecodeOptions, Decoder};

use crate::thumbnail::limits::Limits;

/// Length of the signature, and of the length and name of a chunk.
const HEADER_BYTES: usize = 8;

/// Whether the rows of a file have the checksum of their zlib stream.
pub(super) fn rows_are_intact(file: impl Read + Seek, limits: &Limits) -> bool {
    image_chunks(file, limits).and_then(|image| decode_verified(&image)).is_some()
}

/// The file without ancillary chunks, up to its last chunk of image data.
fn image_chunks(mut file: impl Read + Seek, limits: &Limits) -> Option<Vec<u8>> {
    file.seek(SeekFrom::Start(0)).ok()?;
    let mut file = BufReader::new(file.take(limits.max_bytes()));
    let (mut image, mut has_data) = (vec![0; HEADER_BYTES], false);
    file.read_exact(&mut image).ok()?;
    loop {
        let mut header = [0; HEADER_BYTES];
        if file.read_exact(&mut header).is_err() {
            break;
        }
        let [a, b, c, d, name @ ..] = header;
        let rest = u64::from(u32::from_be_bytes([a, b, c, d])) + 4;
        match &name {
            b"IHDR" | b"PLTE" => {}
            b"IDAT" => has_data = true,
            _ if has_data => break,
            _ => {
                std::io::copy(&mut file.by_ref().take(rest), &mut std::io::sink()).ok()?;
                continue;
            }
        }
        image.extend(header);
        file.by_ref().take(rest).read_to_end(&mut image).ok()?;
    }
    image.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
    Some(image)
}

/// Decodes all rows with the checksum of the zlib stream instead of those of the chunks.
fn decode_verified(image: &[u8]) -> Option<()> {
    let mut options = DecodeOptions::default();
    options.set_ignore_crc(true);
    options.set_ignore_adler32(false);
    let mut reader = Decoder::new_with_options(Cursor::new(image), options).read_info().ok()?;
    let mut row = vec![0; reader.output_line_size(reader.info().width)?];
    while reader.read_row(&mut row).ok()?.is_some() {}
    Some(())
}
