//! The segments of a JPEG up to its frame header (ITU-T T.81, annex B).

use std::io::{BufRead, Seek};

use super::{failed, read};
use crate::thumbnail::Error;

/// What the frame header says, and what the segments before it say about its colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::thumbnail) struct Frame {
    pub(in crate::thumbnail) width: u16,
    pub(in crate::thumbnail) height: u16,
    pub(in crate::thumbnail) progressive: bool,
    /// 1 to 4.
    pub(in crate::thumbnail) components: u8,
    /// Each component's identifier.
    pub(in crate::thumbnail) ids: [u8; 4],
    /// Each component's samples across and down, relative to the others'.
    pub(in crate::thumbnail) sampling: [(u8, u8); 4],
    /// Whether a JFIF segment says that three components are YCbCr.
    pub(in crate::thumbnail) jfif: bool,
    pub(in crate::thumbnail) adobe: Option<Adobe>,
}

/// The APP14 segment that Adobe's programs write; it tells how the components are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::thumbnail) struct Adobe {
    /// 0: RGB or CMYK as they are, 1: YCbCr, 2: YCCK.
    pub(in crate::thumbnail) transform: u8,
    /// Where the transform stands in the file.
    pub(in crate::thumbnail) offset: u64,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const APP0: u8 = 0xe0;
const APP14: u8 = 0xee;

/// Reads from behind the SOI marker up to the frame header.
pub(in crate::thumbnail) fn frame<R: BufRead + Seek>(reader: &mut R) -> Result<Frame, Error> {
    let mut jfif = false;
    let mut adobe = None;
    loop {
        let marker = next_marker(reader)?;
        match marker {
            0x01 | 0xd0..=0xd7 | SOI => continue,
            EOI | SOS => return Err(Error::BadHeader("a JPEG without a frame header")),
            _ => {}
        }
        let length = u16::from_be_bytes(read(reader)?);
        let rest = length.checked_sub(2).ok_or(Error::BadHeader("a segment shorter than its length"))?;
        match marker {
            0xc0..=0xc2 => return start_of_frame(reader, marker == 0xc2, jfif, adobe),
            0xc3 | 0xc5..=0xc7 => return Err(Error::Unsupported("Lossless or hierarchical JPEG")),
            0xc9..=0xcb | 0xcd..=0xcf => return Err(Error::Unsupported("Arithmetic-coded JPEG")),
            APP0 if rest >= 5 => {
                jfif |= read::<5>(reader)? == *b"JFIF\0";
                skip(reader, rest - 5)?;
            }
            APP14 if rest >= 12 => {
                let fields = read::<12>(reader)?;
                let offset = reader.stream_position().map_err(failed)? - 1;
                if fields.starts_with(b"Adobe") {
                    adobe = Some(Adobe { transform: fields[11], offset });
                }
                skip(reader, rest - 12)?;
            }
            _ => skip(reader, rest)?,
        }
    }
}

/// The next marker's second byte; fill bytes and stray bytes before it are passed over.
fn next_marker<R: BufRead>(reader: &mut R) -> Result<u8, Error> {
    loop {
        while read::<1>(reader)? != [0xff] {}
        let mut code = [0xff];
        while code == [0xff] {
            code = read(reader)?;
        }
        if code != [0] {
            return Ok(code[0]);
        }
    }
}

fn skip<R: Seek>(reader: &mut R, bytes: u16) -> Result<(), Error> {
    reader.seek_relative(bytes.into()).map_err(failed)
}

fn start_of_frame<R: BufRead>(
    reader: &mut R,
    progressive: bool,
    jfif: bool,
    adobe: Option<Adobe>,
) -> Result<Frame, Error> {
    let [precision] = read(reader)?;
    if precision != 8 {
        return Err(Error::Unsupported("JPEG with more than 8 bits a channel"));
    }
    let height = u16::from_be_bytes(read(reader)?);
    let width = u16::from_be_bytes(read(reader)?);
    let [components] = read(reader)?;
    if !matches!(components, 1 | 3 | 4) {
        return Err(Error::Unsupported("JPEG of two or more than four channels"));
    }
    let (mut ids, mut sampling) = ([0; 4], [(0, 0); 4]);
    for (id, sampling) in ids.iter_mut().zip(&mut sampling).take(components.into()) {
        let [name, factors, _] = read(reader)?;
        *id = name;
        *sampling = (factors >> 4, factors & 15);
        if !matches!(sampling, (1..=4, 1..=4)) {
            return Err(Error::BadHeader("a sampling factor out of range"));
        }
    }
    Ok(Frame { width, height, progressive, components, ids, sampling, jfif, adobe })
}
