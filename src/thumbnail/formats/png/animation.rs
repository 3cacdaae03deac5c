//! APNG whose default image is not part of the animation (PNG specification, 11.3.6): browsers show the first frame.

use std::io::{self, BufRead, Read, Seek};
use std::ops::RangeInclusive;

use flate2::Crc;

use super::chunks::{CRC_BYTES, LOWER_CASE, SIGNATURE_BYTES, next_chunk, read};

/// Length of the data of `acTL`.
const CONTROL_BYTES: usize = 8;

/// Length of the data of `fcTL`.
const FRAME_CONTROL_BYTES: usize = 26;

/// The numbers of frames that are valid (PNG specification, sections 7.1 and 11.3.6.1).
const FRAMES: RangeInclusive<u32> = 1..=0x7fff_ffff;

/// Where the data of the first frame begin, if the default image is not that frame. `None` if its chunks are invalid, as
/// in files that browsers do not show, or if the frame does not cover the whole image. Chunks with a wrong checksum are
/// ignored.
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
            b"acTL" if !has_default && length as usize == CONTROL_BYTES => {
                is_animated |= checked::<CONTROL_BYTES>(file, &name)?.is_some_and(|control| has_frames(&control));
                continue;
            }
            b"IDAT" if is_animated => has_default = true,
            b"fcTL" if has_default && length as usize == FRAME_CONTROL_BYTES => {
                match checked::<FRAME_CONTROL_BYTES>(file, &name)? {
                    Some(control) => break control,
                    None => continue,
                }
            }
            b"IDAT" | b"fcTL" | b"fdAT" | b"IEND" => return Ok(None),
            _ => {}
        }
        file.seek_relative(i64::from(rest) + i64::from(CRC_BYTES))?;
    };
    // Number 0, the size, and an offset of 0.
    let whole = [&[0; 4], &size[..], &[0; 8]].concat();
    if frame.starts_with(&whole) { data(file) } else { Ok(None) }
}

/// Where the first data of a frame begin, or where the file ends before them.
fn data(file: &mut (impl BufRead + Seek)) -> io::Result<Option<u64>> {
    loop {
        let begins_at = file.stream_position()?;
        match next_chunk(file)? {
            None => return Ok(Some(begins_at)),
            Some((4.., name)) if name == *b"fdAT" => {
                return Ok(read(file)?.is_none_or(|number| number == [0, 0, 0, 1]).then_some(begins_at));
            }
            Some((length, name)) if is_skipped(&name) => {
                file.seek_relative(i64::from(length) + i64::from(CRC_BYTES))?;
            }
            Some(_) => return Ok(None),
        }
    }
}

/// Whether a chunk can be among the data of a frame without being a part of it.
pub(super) fn is_skipped(name: &[u8; 4]) -> bool {
    name[0] & LOWER_CASE != 0 && !matches!(name, b"fcTL" | b"fdAT")
}

fn has_frames(control: &[u8; CONTROL_BYTES]) -> bool {
    let [a, b, c, d, ..] = *control;
    FRAMES.contains(&u32::from_be_bytes([a, b, c, d]))
}

/// The data of a chunk, if its checksum is correct. Reads the checksum too.
fn checked<const N: usize>(file: &mut impl Read, name: &[u8; 4]) -> io::Result<Option<[u8; N]>> {
    let (Some(bytes), Some(stored)) = (read::<N>(file)?, read(file)?) else { return Ok(None) };
    let mut crc = Crc::new();
    crc.update(name);
    crc.update(&bytes);
    Ok((crc.sum() == u32::from_be_bytes(stored)).then_some(bytes))
}
