//! Files that the decoder takes for others, written as it reads them.

use std::borrow::Cow;
use std::io::Cursor;
use std::ops::Range;

use tiff::decoder::{ChunkType, Decoder};
use tiff::tags::{CompressionMethod, Tag};

use super::refused;
use crate::thumbnail::Error;

/// The width's tag.
const WIDTH: u16 = 256;
/// Tiles that reach further over the page's edge are nobody's, and would be much to hold.
pub(super) const FURTHEST: u32 = 4096;
/// The numbers of a tag's types that a width may have.
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// The file, of which as much is copied as has to be changed.
///
/// The decoder does not know the fill order: where the lowest bit comes first, the bits of every byte are exchanged. And it
/// skips the rest of a row of tiles beyond the page's edge in a way that takes LZW for ended too early (as of 0.11.3); a
/// page as wide as its tiles has no such rest. What is drawn remains as wide as the page.
pub(super) fn mended<'a>(bytes: &'a [u8], decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Cow<'a, [u8]>, Error> {
    let mut mended = Cow::Borrowed(bytes);
    let compression = decoder.find_tag_unsigned(Tag::Compression).map_err(refused)?.unwrap_or(1);
    let compression = CompressionMethod::from_u16_exhaustive(compression);
    let fill_order = decoder.find_tag_unsigned::<u16>(Tag::FillOrder).map_err(refused)?;
    // The bits of a JPEG have an order of their own.
    if fill_order == Some(2) && compression != CompressionMethod::ModernJPEG {
        exchange_bits(bytes, &chunks(bytes, decoder)?, mended.to_mut());
    }
    let is_tiled = matches!(decoder.get_chunk_type(), ChunkType::Tile);
    if is_tiled && compression == CompressionMethod::LZW {
        let (width, across) = (decoder.dimensions().map_err(refused)?.0, decoder.chunk_dimensions().0);
        let over = |padded: &u32| (1..FURTHEST).contains(&(padded - width));
        if let Some(padded) = width.checked_next_multiple_of(across).filter(over) {
            widen(mended.to_mut(), padded);
        }
    }
    Ok(mended)
}

/// Where the strips or tiles lie. Several may be the same bytes, but not many times all of the file: that would be as much
/// work as anyone likes.
///
/// # Errors
/// When one lies beyond the file's end, or when they are too many.
pub(super) fn chunks(bytes: &[u8], decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Vec<Range<usize>>, Error> {
    const TIMES: usize = 16;
    let (starts, lengths) = match decoder.get_chunk_type() {
        ChunkType::Strip => (Tag::StripOffsets, Tag::StripByteCounts),
        ChunkType::Tile => (Tag::TileOffsets, Tag::TileByteCounts),
    };
    let starts = decoder.get_tag_u64_vec(starts).map_err(refused)?;
    let lengths = decoder.get_tag_u64_vec(lengths).map_err(refused)?;
    let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let mut left = bytes.len().saturating_mul(TIMES);
    let mut chunks = Vec::with_capacity(starts.len());
    for (start, length) in starts.into_iter().zip(lengths) {
        let chunk = at(start)..at(start.saturating_add(length));
        let length = bytes.get(chunk.clone()).ok_or(Error::Truncated)?.len();
        left = left.checked_sub(length).ok_or_else(|| Error::corrupt("strips that lie over each other"))?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn exchange_bits(bytes: &[u8], chunks: &[Range<usize>], mended: &mut [u8]) {
    for chunk in chunks {
        for (target, byte) in mended[chunk.clone()].iter_mut().zip(&bytes[chunk.clone()]) {
            *target = byte.reverse_bits();
        }
    }
}

/// Writes another width into the first directory (TIFF 6.0, section 2, or BigTIFF), if it has room for it.
fn widen(bytes: &mut [u8], width: u32) -> Option<()> {
    let little = bytes.starts_with(b"II");
    let number = |bytes: &[u8], at: usize, size: usize| {
        let field = bytes.get(at..at.checked_add(size)?)?.iter();
        let shifted = |number, &byte| number << 8 | u64::from(byte);
        let number: u64 = if little { field.rev().fold(0, shifted) } else { field.fold(0, shifted) };
        usize::try_from(number).ok()
    };
    let is_big = number(bytes, 2, 2)? == 43;
    let (start, count, entry, value) = if is_big { ((8, 8), 8, 20, 12) } else { ((4, 4), 2, 12, 8) };
    let directory = number(bytes, start.0, start.1)?;
    let entries = number(bytes, directory, count)?;
    let first = directory.checked_add(count)?;
    let found = (0..entries).map_while(|index| first.checked_add(entry * index));
    let field = found.take_while(|&at| at < bytes.len()).find(|&at| number(bytes, at, 2) == Some(WIDTH.into()))?;
    let kind = u16::try_from(number(bytes, field + 2, 2)?).ok()?;
    let size = match kind {
        SHORT if width <= u16::MAX.into() => 2,
        LONG => 4,
        _ => return None,
    };
    let ordered = if little { width.to_le_bytes() } else { width.to_be_bytes() };
    let ordered = if little { &ordered[..size] } else { &ordered[4 - size..] };
    bytes.get_mut(field + value..)?.get_mut(..size)?.copy_from_slice(ordered);
    Some(())
}
