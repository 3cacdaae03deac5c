//! The dimensions of a WebP (RFC 9649, 2): of its canvas, and of the picture that stands in its first image chunk.

use std::io::{BufRead, Seek, SeekFrom};

use super::{Size, failed, read};
use crate::thumbnail::Error;

/// Reads a WebP from its start.
pub(super) fn size<R: BufRead + Seek>(reader: &mut R) -> Result<Size, Error> {
    reader.seek(SeekFrom::Start(12)).map_err(failed)?;
    let (name, length) = chunk(reader)?;
    if name != *b"VP8X" {
        return picture(reader, name)?.ok_or(Error::BadHeader("a WebP without a picture"));
    }
    let [flags, _, _, _] = read(reader)?;
    let canvas = Size { width: 1 + u24(reader)?, height: 1 + u24(reader)? };
    skip(reader, length, 10)?;
    let animated = flags & 0b10 != 0;
    loop {
        let (name, length) = chunk(reader)?;
        // The frame lies within the canvas; the picture within the frame repeats its size, so both are held against
        // the canvas, or a small canvas could hide a large picture.
        if animated && name == *b"ANMF" {
            let _position = [u24(reader)?, u24(reader)?];
            let frame = Size { width: 1 + u24(reader)?, height: 1 + u24(reader)? };
            let _duration_and_flags = read::<4>(reader)?;
            let (mut name, length) = chunk(reader)?;
            if name == *b"ALPH" {
                skip(reader, length, 0)?;
                (name, _) = chunk(reader)?;
            }
            let fits = frame.width <= canvas.width && frame.height <= canvas.height;
            return match picture(reader, name)? {
                Some(picture) if picture == frame && fits => Ok(canvas),
                _ => Err(Error::BadHeader("a frame that does not fit its canvas")),
            };
        }
        match picture(reader, name)? {
            Some(picture) if picture == canvas => return Ok(canvas),
            Some(_) => return Err(Error::BadHeader("a picture that is not of its canvas's size")),
            None => skip(reader, length, 0)?,
        }
    }
}

/// The dimensions in an image chunk's own header; `None` for a chunk of another kind.
fn picture<R: BufRead>(reader: &mut R, name: [u8; 4]) -> Result<Option<Size>, Error> {
    match &name {
        // RFC 6386, 9.1: frame tag, start code, then 14 bits each, with the upscaling hint above them.
        b"VP8 " => {
            let [_, _, _, start @ .., w0, w1, h0, h1] = read::<10>(reader)?;
            if start != [0x9d, 0x01, 0x2a] {
                return Err(Error::BadHeader("no VP8 start code"));
            }
            let side = |bytes| u32::from(u16::from_le_bytes(bytes) & 0x3fff);
            Ok(Some(Size { width: side([w0, w1]), height: side([h0, h1]) }))
        }
        // RFC 9649, 3.4: a signature, then 14 bits each, less one.
        b"VP8L" => {
            let [signature] = read(reader)?;
            if signature != 0x2f {
                return Err(Error::BadHeader("no VP8L signature"));
            }
            let bits = u32::from_le_bytes(read(reader)?);
            Ok(Some(Size { width: 1 + (bits & 0x3fff), height: 1 + (bits >> 14 & 0x3fff) }))
        }
        _ => Ok(None),
    }
}

fn chunk<R: BufRead>(reader: &mut R) -> Result<([u8; 4], u32), Error> {
    Ok((read(reader)?, u32::from_le_bytes(read(reader)?)))
}

/// Passes over what is left of a chunk of which `done` bytes are read, and its padding to an even length.
fn skip<R: Seek>(reader: &mut R, length: u32, done: u32) -> Result<(), Error> {
    let padded = i64::from(length) + i64::from(length & 1);
    reader.seek_relative(padded - i64::from(done)).map_err(failed)
}

fn u24<R: BufRead>(reader: &mut R) -> Result<u32, Error> {
    let [low, middle, high] = read(reader)?;
    Ok(u32::from_le_bytes([low, middle, high, 0]))
}
