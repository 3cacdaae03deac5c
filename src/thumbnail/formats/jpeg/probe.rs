//! JPEG: the segments up to the frame header (ITU-T T.81, annex B).

use super::super::codec::BufReadSeek;
use super::super::header::{header_error, read};
use crate::thumbnail::error::Error;

/// The frame header, and the segments before it that determine the colour model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) width: u16,
    pub(crate) height: u16,
    pub(crate) progressive: bool,
    /// 1 to 4.
    pub(crate) components: u8,
    /// Component identifiers.
    pub(crate) ids: [u8; 4],
    /// Horizontal and vertical sampling factor of each component.
    pub(crate) sampling: [(u8, u8); 4],
    /// Whether there is a JFIF segment, which declares three components as YCbCr.
    pub(crate) jfif: bool,
    pub(crate) adobe: Option<Adobe>,
}

/// The APP14 segment of Adobe software, which states the colour model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Adobe {
    /// 0: RGB or CMYK unchanged, 1: YCbCr, 2: YCCK.
    pub(crate) transform: u8,
    /// File offset of the transform flag.
    pub(crate) offset: u64,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const APP0: u8 = 0xe0;
const APP14: u8 = 0xee;

/// Reads from after the SOI marker up to the frame header.
pub(crate) fn frame(reader: &mut dyn BufReadSeek) -> Result<Frame, Error> {
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
        let rest = length.checked_sub(2).ok_or(Error::BadHeader("a segment length below 2"))?;
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
                let offset = reader.stream_position().map_err(header_error)? - 1;
                if fields.starts_with(b"Adobe") {
                    adobe = Some(Adobe { transform: fields[11], offset });
                }
                skip(reader, rest - 12)?;
            }
            _ => skip(reader, rest)?,
        }
    }
}

/// The second byte of the next marker; skips fill bytes and stray bytes before it.
fn next_marker(reader: &mut dyn BufReadSeek) -> Result<u8, Error> {
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

fn skip(reader: &mut dyn BufReadSeek, bytes: u16) -> Result<(), Error> {
    reader.seek_relative(bytes.into()).map_err(header_error)
}

fn start_of_frame(
    reader: &mut dyn BufReadSeek,
    progressive: bool,
    jfif: bool,
    adobe: Option<Adobe>,
) -> Result<Frame, Error> {
    let [precision] = read(reader)?;
    if precision != 8 {
        return Err(Error::Unsupported("JPEG with more than 8 bits per channel"));
    }
    let height = u16::from_be_bytes(read(reader)?);
    let width = u16::from_be_bytes(read(reader)?);
    let [components] = read(reader)?;
    if !matches!(components, 1 | 3 | 4) {
        return Err(Error::Unsupported("JPEG with two or more than four channels"));
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
