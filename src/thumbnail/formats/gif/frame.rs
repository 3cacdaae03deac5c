//! GIF: the blocks up to the pixels of the first frame (GIF89a, 17 to 26).

use std::io::SeekFrom;

use super::super::codec::BufReadSeek;
use super::super::header::{header_error, read};
use crate::error::Error;
use crate::raster::Size;

/// The first frame and the screen on which it is placed.
pub(super) struct FirstFrame {
    /// The logical screen, enlarged to contain the frame, as browsers do.
    pub(super) screen: Size,
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) interlaced: bool,
    /// RGB by index; opaque black beyond the colour table, as in browsers.
    pub(super) colours: [[u8; 3]; 256],
    pub(super) transparent: Option<u8>,
    /// Bits of a literal in the LZW data.
    pub(super) literal_bits: u32,
    /// Position of the LZW data in the file.
    pub(super) data: u64,
}

/// Largest literal of an LZW code, which has at most 12 bits.
const MAX_LITERAL_BITS: u8 = 11;

/// Reads up to the LZW data of the first frame.
pub(super) fn first(file: &mut dyn BufReadSeek) -> Result<FirstFrame, Error> {
    file.seek(SeekFrom::Start(6)).map_err(header_error)?;
    let [screen_width, screen_height] = [word(file)?, word(file)?];
    let [flags, _background, _aspect] = read(file)?;
    let mut colours = [[0; 3]; 256];
    read_colours(file, flags, &mut colours)?;
    let mut transparent = None;
    loop {
        match read(file)? {
            [b'!'] => match read(file)? {
                [0xf9] => transparent = graphic_control(file)?,
                [_] => skip_sub_blocks(file)?,
            },
            [b','] => break,
            // The trailer or an invalid block.
            [_] => return Err(Error::BadHeader("no image")),
        }
    }
    let [left, top, width, height] = [word(file)?, word(file)?, word(file)?, word(file)?];
    let [flags] = read(file)?;
    if flags & 0x80 != 0 {
        colours = [[0; 3]; 256];
        read_colours(file, flags, &mut colours)?;
    }
    let [literal_bits] = read(file)?;
    if literal_bits == 0 || literal_bits > MAX_LITERAL_BITS {
        return Err(Error::BadHeader("the code size"));
    }
    if width == 0 || height == 0 {
        return Err(Error::BadHeader("an empty frame"));
    }
    let screen = Size { width: screen_width.max(left + width), height: screen_height.max(top + height) };
    let [left, top, width, height] = [left, top, width, height].map(|side| side as usize);
    let data = file.stream_position().map_err(header_error)?;
    let literal_bits = literal_bits.into();
    let interlaced = flags & 0x40 != 0;
    Ok(FirstFrame { screen, left, top, width, height, interlaced, colours, transparent, literal_bits, data })
}

/// A 16-bit number.
fn word(file: &mut dyn BufReadSeek) -> Result<u32, Error> {
    Ok(u16::from_le_bytes(read(file)?).into())
}

/// Reads the colour table that these flags announce.
fn read_colours(file: &mut dyn BufReadSeek, flags: u8, colours: &mut [[u8; 3]; 256]) -> Result<(), Error> {
    if flags & 0x80 != 0 {
        for colour in &mut colours[..2 << (flags & 7)] {
            *colour = read(file)?;
        }
    }
    Ok(())
}

/// The transparent index of a graphic control extension (GIF89a, 23). Of a longer block, the first four bytes count; a
/// shorter one has no transparent index.
fn graphic_control(file: &mut dyn BufReadSeek) -> Result<Option<u8>, Error> {
    let [length] = read(file)?;
    // A block of length 0 ends the extension.
    if length == 0 {
        return Ok(None);
    }
    let mut block = [0; 255];
    let block = &mut block[..usize::from(length)];
    file.read_exact(block).map_err(header_error)?;
    skip_sub_blocks(file)?;
    Ok(match *block {
        [flags, _, _, index, ..] if flags & 1 != 0 => Some(index),
        _ => None,
    })
}

/// Skips data sub-blocks: a length byte and that many bytes, up to a length of 0.
fn skip_sub_blocks(file: &mut dyn BufReadSeek) -> Result<(), Error> {
    loop {
        match read(file)? {
            [0] => return Ok(()),
            [length] => file.seek_relative(length.into()).map_err(header_error)?,
        }
    }
}
