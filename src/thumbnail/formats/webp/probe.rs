//! WebP: the dimensions of the canvas and of the first image chunk (RFC 9649, 2).

use std::io::SeekFrom;

use super::super::codec::BufReadSeek;
use super::super::header::{header_error, read};
use crate::error::Error;
use crate::raster::Size;

pub(super) fn size(reader: &mut dyn BufReadSeek) -> Result<Size, Error> {
    reader.seek(SeekFrom::Start(12)).map_err(header_error)?;
    let (name, length) = chunk(reader)?;
    if name != *b"VP8X" {
        return image_size(reader, name)?.ok_or(Error::BadHeader("a WebP without an image"));
    }
    let [flags, _, _, _] = read(reader)?;
    let canvas = Size { width: 1 + u24(reader)?, height: 1 + u24(reader)? };
    skip(reader, length, 10)?;
    let animated = flags & 0b10 != 0;
    loop {
        let (name, length) = chunk(reader)?;
        // The frame must lie within the canvas, and its image chunk repeats the size of the frame. Both are compared
        // with the canvas: a small canvas could otherwise hide a large image.
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
            return match image_size(reader, name)? {
                Some(image) if image == frame && fits => Ok(canvas),
                _ => Err(Error::BadHeader("a frame that does not fit its canvas")),
            };
        }
        match image_size(reader, name)? {
            Some(image) if image == canvas => return Ok(canvas),
            Some(_) => return Err(Error::BadHeader("an image chunk that does not have the size of the canvas")),
            None => skip(reader, length, 0)?,
        }
    }
}

/// The dimensions in the header of an image chunk; `None` for other chunks.
fn image_size(reader: &mut dyn BufReadSeek, name: [u8; 4]) -> Result<Option<Size>, Error> {
    match &name {
        // RFC 6386, 9.1: frame tag, start code, then 14 bits each, with scaling hints in the higher bits.
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

fn chunk(reader: &mut dyn BufReadSeek) -> Result<([u8; 4], u32), Error> {
    Ok((read(reader)?, u32::from_le_bytes(read(reader)?)))
}

/// Skips the rest of a chunk of which `done` bytes are read, and its padding to an even length.
fn skip(reader: &mut dyn BufReadSeek, length: u32, done: u32) -> Result<(), Error> {
    let padded = i64::from(length) + i64::from(length & 1);
    reader.seek_relative(padded - i64::from(done)).map_err(header_error)
}

fn u24(reader: &mut dyn BufReadSeek) -> Result<u32, Error> {
    let [low, middle, high] = read(reader)?;
    Ok(u32::from_le_bytes([low, middle, high, 0]))
}
