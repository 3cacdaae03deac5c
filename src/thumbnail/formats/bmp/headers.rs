//! BMP: the file header and the versions of the information header, which differ in their length.
//!
//! Sources: Microsoft's BITMAPFILEHEADER to BITMAPV5HEADER, IBM's BITMAPINFOHEADER2, and the decoder of Chromium for
//! everything that these do not define.

use std::ops::Range;

use super::super::header::read as read_bytes;
use super::masks;
use crate::error::Error;
use crate::raster::Size;

/// Length of the file header.
const FILE_HEADER: usize = 14;

/// Headers, with all positions from the start of the file.
pub(super) struct Headers {
    pub(super) size: Size,
    /// Whether the first stored row is the topmost.
    pub(super) top_down: bool,
    pub(super) bits: u32,
    pub(super) coding: Coding,
    /// Masks of red, green, blue and alpha, within the bits of a pixel; 0 if the channel is missing.
    pub(super) masks: [u32; 4],
    pub(super) palette: Range<usize>,
    /// Bytes of a colour in the palette.
    pub(super) colour_bytes: usize,
    pub(super) pixels: usize,
    pub(super) profile: Option<Range<usize>>,
}

/// How the pixels are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Uncompressed,
    /// Run-length coding, of 4, 8 or 24 bits.
    Runs,
    /// A whole JPEG file.
    Jpeg,
    /// A whole PNG file.
    Png,
}

/// Whether a file starts with headers: many texts start with "BM", so the length of the information header must be
/// plausible.
pub(super) fn sniff(head: &[u8]) -> bool {
    let file_header = &head[start(head).min(head.len())..];
    let length = file_header.get(FILE_HEADER..FILE_HEADER + 4);
    file_header.starts_with(b"BM") && matches!(length, Some([12..=u8::MAX, 0, 0, 0]))
}

/// Position of the file header: the first entry of a bitmap array of OS/2 follows a header of its own.
fn start(file: &[u8]) -> usize {
    if file.starts_with(b"BA") { 14 } else { 0 }
}

/// Reads the headers from the start of a file.
pub(super) fn read(file: &[u8]) -> Result<Headers, Error> {
    let start = start(file);
    let information = start + FILE_HEADER;
    let length = number(file, information)? as usize;
    // BITMAPINFOHEADER2 of OS/2 can end after any field.
    if !(matches!(length, 12 | 42 | 46 | 108 | 124) || (16..=64).contains(&length) && length.is_multiple_of(4)) {
        return Err(unsupported("BMP with an information header of this length"));
    }
    let core = length == 12;
    // Fields beyond the end of the header are 0.
    let field = |at: usize| if at + 4 <= length { number(file, information + at) } else { Ok(0) };
    let (size, top_down, bits) = match core {
        true => (Size { width: field(4)? & 0xffff, height: field(4)? >> 16 }, false, field(8)? >> 16),
        false => {
            let (width, height) = (field(4)? as i32, field(8)? as i32);
            let width = u32::try_from(width).map_err(|_| Error::BadHeader("a negative width"))?;
            (Size { width, height: height.unsigned_abs() }, height < 0, field(12)? >> 16)
        }
    };
    let compression = if core { 0 } else { field(16)? };
    let (coding, has_masks) = coding(compression, bits, core)?;
    let end = information + length;
    let (masks, mask_bytes) = match has_masks {
        true => masks::stored(file, information, length, compression)?,
        // The mask of alpha counts without the compression that announces masks, as in Chromium.
        false => (masks::default(bits, length, || field(52))?, 0),
    };
    let colour_bytes = if core { 3 } else { 4 };
    let most = if bits <= 8 { 1 << bits } else { 0 };
    let colours = match if core { 0 } else { field(32)? } as usize {
        0 => most,
        colours => colours.min(most),
    };
    let palette = end + mask_bytes..end + mask_bytes + colours * colour_bytes;
    let pixels = match number(file, start + 10)? as usize {
        // Missing, or impossible: the pixels follow the palette.
        offset if offset < end => palette.end,
        // Within the palette, although the file has space for the pixels after it.
        offset if offset < palette.end && coding == Coding::Uncompressed => {
            let (width, height) = (size.width as usize, size.height as usize);
            let row = width.saturating_mul(bits as usize);
            let bytes = (row.div_ceil(32) * 4).saturating_mul(height.saturating_sub(1)).saturating_add(row.div_ceil(8));
            if file.len() >= palette.end.saturating_add(bytes) { palette.end } else { offset }
        }
        offset => offset,
    };
    Ok(Headers {
        size,
        top_down,
        bits: if coding == Coding::Runs { run_bits(compression) } else { bits },
        coding,
        masks: masks::checked(masks, bits)?,
        palette: palette.start..palette.end.min(pixels.max(palette.start)),
        colour_bytes,
        pixels,
        profile: profile(file, information, length)?,
    })
}

/// Values of the compression.
const BIT_FIELDS: u32 = 3;
pub(super) const ALPHA_BIT_FIELDS: u32 = 6;

/// The coding of a compression and a number of bits, and whether there are masks. 3 and 4 have another
/// meaning in OS/2 than in Windows, which the number of bits tells apart.
fn coding(compression: u32, bits: u32, core: bool) -> Result<(Coding, bool), Error> {
    match (compression, bits) {
        (0, 2 | 16 | 32) if core => Err(unsupported("BMP with this number of bits and a header of OS/2 1.x")),
        (0, 1 | 2 | 4 | 8 | 16 | 24 | 32) => Ok((Coding::Uncompressed, false)),
        // A smaller number of bits means a smaller palette.
        (1, 1..=8) | (2, 1..=4) | (4, 24) => Ok((Coding::Runs, false)),
        (BIT_FIELDS | ALPHA_BIT_FIELDS, 16 | 32) => Ok((Coding::Uncompressed, true)),
        (4, _) => Ok((Coding::Jpeg, false)),
        (5, _) => Ok((Coding::Png, false)),
        (BIT_FIELDS, 1) => Err(unsupported("BMP with Huffman coding")),
        (BIT_FIELDS | ALPHA_BIT_FIELDS, _) => Err(unsupported("BMP with bit masks and this number of bits")),
        (11..=13, _) => Err(unsupported("BMP with CMYK colours")),
        (0, 64) => Err(unsupported("BMP with 64 bits per pixel")),
        (0..=2, _) => Err(Error::BadHeader("the number of bits")),
        _ => Err(unsupported("BMP with this compression")),
    }
}

fn run_bits(compression: u32) -> u32 {
    match compression {
        1 => 8,
        2 => 4,
        _ => 24,
    }
}

/// The embedded profile of BITMAPV5HEADER.
fn profile(file: &[u8], information: usize, length: usize) -> Result<Option<Range<usize>>, Error> {
    const PROFILE_EMBEDDED: u32 = u32::from_be_bytes(*b"MBED");
    if length < 124 || number(file, information + 56)? != PROFILE_EMBEDDED {
        return Ok(None);
    }
    let start = information + number(file, information + 112)? as usize;
    Ok(Some(start..start + number(file, information + 116)? as usize))
}

pub(super) fn unsupported(name: &'static str) -> Error {
    Error::UnsupportedVariant { name, remedy: "save it as BMP without compression, or as PNG" }
}

/// A 32-bit number.
pub(super) fn number(file: &[u8], at: usize) -> Result<u32, Error> {
    let mut bytes = file.get(at..).unwrap_or_default();
    Ok(u32::from_le_bytes(read_bytes(&mut bytes)?))
}
