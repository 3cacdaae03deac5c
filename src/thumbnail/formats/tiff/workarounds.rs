//! Workarounds for files that the `tiff` crate misreads: the file is patched before it is decoded.

use std::borrow::Cow;
use std::io::Cursor;
use std::ops::Range;

use tiff::decoder::{ChunkType, Decoder};
use tiff::tags::{CompressionMethod, Tag};

use super::error::decode_error;
use crate::thumbnail::error::Error;

/// Tag of the width.
const WIDTH: u16 = 256;
/// The most pixels that a tile extends beyond the edge of the page; real files have less, and larger tiles take too
/// much memory.
pub(super) const MAX_TILE_OVERHANG: u32 = 4096;
/// Field types that a width can have.
const SHORT: u16 = 3;
const LONG: u16 = 4;

/// The file with all workarounds applied; copied only if one is needed.
///
/// The decoder ignores the fill order: for the lowest bit first, the bits of every byte are reversed. Its way of
/// skipping tile columns beyond the page edge makes LZW data appear truncated (as of 0.11.3): the page is declared as
/// wide as its tiles, and the extra columns are dropped later.
pub(super) fn patched<'a>(bytes: &'a [u8], decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Cow<'a, [u8]>, Error> {
    let mut patched = Cow::Borrowed(bytes);
    let compression = decoder.find_tag_unsigned(Tag::Compression).map_err(decode_error)?.unwrap_or(1);
    let compression = CompressionMethod::from_u16_exhaustive(compression);
    let fill_order = decoder.find_tag_unsigned::<u16>(Tag::FillOrder).map_err(decode_error)?;
    // The fill order does not apply to JPEG data.
    if fill_order == Some(2) && compression != CompressionMethod::ModernJPEG {
        reverse_bits(bytes, &chunks(bytes, decoder)?, patched.to_mut());
    }
    let is_tiled = matches!(decoder.get_chunk_type(), ChunkType::Tile);
    if is_tiled && compression == CompressionMethod::LZW {
        let (width, tile_width) = (decoder.dimensions().map_err(decode_error)?.0, decoder.chunk_dimensions().0);
        let within_limit = |padded: &u32| (1..MAX_TILE_OVERHANG).contains(&(padded - width));
        if let Some(padded) = width.checked_next_multiple_of(tile_width).filter(within_limit) {
            set_width(patched.to_mut(), padded);
        }
    }
    Ok(patched)
}

/// Byte ranges of the strips or tiles. They can overlap, but their total is bounded: otherwise a small file could cause
/// any amount of work. Fails for a range beyond the end of the file.
pub(super) fn chunks(bytes: &[u8], decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Vec<Range<usize>>, Error> {
    const MAX_TOTAL: usize = 16;
    let (starts, lengths) = match decoder.get_chunk_type() {
        ChunkType::Strip => (Tag::StripOffsets, Tag::StripByteCounts),
        ChunkType::Tile => (Tag::TileOffsets, Tag::TileByteCounts),
    };
    let starts = decoder.get_tag_u64_vec(starts).map_err(decode_error)?;
    let lengths = decoder.get_tag_u64_vec(lengths).map_err(decode_error)?;
    let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let mut left = bytes.len().saturating_mul(MAX_TOTAL);
    let mut chunks = Vec::with_capacity(starts.len());
    for (start, length) in starts.into_iter().zip(lengths) {
        let chunk = at(start)..at(start.saturating_add(length));
        let length = bytes.get(chunk.clone()).ok_or(Error::Truncated)?.len();
        left = left.checked_sub(length).ok_or_else(|| Error::corrupt("overlapping strips"))?;
        chunks.push(chunk);
    }
    Ok(chunks)
}

fn reverse_bits(bytes: &[u8], chunks: &[Range<usize>], patched: &mut [u8]) {
    for chunk in chunks {
        for (target, byte) in patched[chunk.clone()].iter_mut().zip(&bytes[chunk.clone()]) {
            *target = byte.reverse_bits();
        }
    }
}

/// Overwrites the width in the first directory (TIFF 6.0, section 2, or BigTIFF), if the field is wide enough.
fn set_width(bytes: &mut [u8], width: u32) -> Option<()> {
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
