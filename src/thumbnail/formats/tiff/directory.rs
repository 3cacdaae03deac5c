//! The first image file directory (TIFF 6.0, section 2, or BigTIFF): its tags and their values.

use std::io::{Read, SeekFrom};

use super::super::codec::BufReadSeek;
use super::super::header::{header_error, read};
use crate::thumbnail::error::Error;

/// More than any real directory has.
const MAX_ENTRIES: u64 = 4096;

/// The tags that matter (TIFF 6.0, appendix A).
pub(super) mod tag {
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS_PER_SAMPLE: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const ORIENTATION: u16 = 274;
    pub(in super::super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(in super::super) const PLANAR_CONFIGURATION: u16 = 284;
    pub(in super::super) const T4_OPTIONS: u16 = 292;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const COLOUR_MAP: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_HEIGHT: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(in super::super) const INK_SET: u16 = 332;
    pub(in super::super) const EXTRA_SAMPLES: u16 = 338;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
    pub(in super::super) const JPEG_TABLES: u16 = 347;
    pub(in super::super) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(in super::super) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(in super::super) const REFERENCE_BLACK_WHITE: u16 = 532;
    pub(in super::super) const ICC_PROFILE: u16 = 34675;
}

/// The entries of the first directory.
pub(super) struct Directory {
    pub(super) little_endian: bool,
    big: bool,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// The values, or their offset in the file if they do not fit.
    field: [u8; 8],
}

impl Entry {
    /// Bytes of a value (TIFF 6.0, section 2, and BigTIFF).
    fn size(&self) -> Option<u64> {
        match self.kind {
            1 | 2 | 6 | 7 => Some(1),
            3 | 8 => Some(2),
            4 | 9 | 11 | 13 => Some(4),
            5 | 10 | 12 | 16..=18 => Some(8),
            _ => None,
        }
    }
}

impl Directory {
    /// Reads the entries, without the values that are stored elsewhere.
    pub(super) fn read(reader: &mut dyn BufReadSeek) -> Result<Self, Error> {
        reader.seek(SeekFrom::Start(0)).map_err(header_error)?;
        let mut directory = Self { little_endian: read::<2>(reader)? == *b"II", big: false, entries: Vec::new() };
        directory.big = directory.next(reader, 2)? == 43;
        let offset_bytes = if directory.big { 8 } else { 4 };
        if directory.big {
            let _offset_size_and_padding = directory.next(reader, 4)?;
        }
        let start = directory.next(reader, offset_bytes)?;
        reader.seek(SeekFrom::Start(start)).map_err(header_error)?;
        let entries = directory.next(reader, if directory.big { 8 } else { 2 })?;
        if entries > MAX_ENTRIES {
            return Err(Error::BadHeader("a directory with too many entries"));
        }
        for _ in 0..entries {
            let [tag, kind] = [directory.next(reader, 2)? as u16, directory.next(reader, 2)? as u16];
            let count = directory.next(reader, offset_bytes)?;
            let mut field = [0; 8];
            reader.read_exact(&mut field[..offset_bytes]).map_err(header_error)?;
            directory.entries.push(Entry { tag, kind, count, field });
        }
        Ok(directory)
    }

    fn next(&self, reader: &mut dyn BufReadSeek, bytes: usize) -> Result<u64, Error> {
        let mut value = [0; 8];
        reader.read_exact(&mut value[..bytes]).map_err(header_error)?;
        Ok(self.integer(&value[..bytes]))
    }

    /// An unsigned integer of up to 8 bytes in the byte order of the file.
    fn integer(&self, bytes: &[u8]) -> u64 {
        let shifted = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        if self.little_endian { bytes.iter().rev().fold(0, shifted) } else { bytes.iter().fold(0, shifted) }
    }

    /// The first entry of a tag; repetitions are ignored.
    fn find(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.find(tag).is_some()
    }

    /// The values of a tag as bytes, at most `max` of them. Memory grows with what the file has, not with the count.
    pub(super) fn bytes(&self, reader: &mut dyn BufReadSeek, tag: u16, max: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let Some(size) = entry.size() else { return Ok(None) };
        let length = size.saturating_mul(entry.count);
        if length > max {
            return Err(Error::BadHeader("a tag with too many values"));
        }
        let inline = if self.big { 8 } else { 4 };
        if length <= inline {
            return Ok(Some(entry.field[..length as usize].to_vec()));
        }
        reader.seek(SeekFrom::Start(self.integer(&entry.field[..inline as usize]))).map_err(header_error)?;
        let mut bytes = Vec::new();
        reader.take(length).read_to_end(&mut bytes).map_err(header_error)?;
        if bytes.len() as u64 == length { Ok(Some(bytes)) } else { Err(Error::Truncated) }
    }

    /// The values of a tag of unsigned integers, at most `max` of them; none if it has another type.
    pub(super) fn integers(&self, reader: &mut dyn BufReadSeek, tag: u16, max: u64) -> Result<Vec<u64>, Error> {
        let size = match self.find(tag) {
            Some(entry @ Entry { kind: 1 | 3 | 4 | 13 | 16 | 18, .. }) => entry.size().unwrap_or(1),
            _ => return Ok(Vec::new()),
        };
        let bytes = self.bytes(reader, tag, max.saturating_mul(size))?.unwrap_or_default();
        Ok(bytes.chunks_exact(size as usize).map(|bytes| self.integer(bytes)).collect())
    }

    /// The only or first value of a tag of unsigned integers, if it is stored in the directory.
    pub(super) fn integer_of(&self, tag: u16) -> Option<u64> {
        let entry = self.find(tag).filter(|entry| matches!(entry.kind, 1 | 3 | 4 | 13 | 16 | 18) && entry.count > 0)?;
        let (size, inline) = (entry.size()?, if self.big { 8 } else { 4 });
        (entry.count.checked_mul(size)? <= inline).then(|| self.integer(&entry.field[..size as usize]))
    }

    /// The first value of a tag of unsigned integers, wherever it is stored.
    pub(super) fn first_integer(&self, reader: &mut dyn BufReadSeek, tag: u16) -> Result<Option<u64>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let (size, inline) = (entry.size().unwrap_or(1), if self.big { 8 } else { 4 });
        if size.saturating_mul(entry.count) <= inline {
            return Ok(self.integer_of(tag));
        }
        reader.seek(SeekFrom::Start(self.integer(&entry.field[..inline as usize]))).map_err(header_error)?;
        Ok(Some(self.next(reader, size as usize)?))
    }

    /// The values of a tag of `N` unsigned rationals or floats.
    pub(super) fn rationals<const N: usize>(
        &self,
        reader: &mut dyn BufReadSeek,
        tag: u16,
    ) -> Result<Option<[f32; N]>, Error> {
        let Some(entry) = self.find(tag).filter(|entry| entry.count == N as u64) else { return Ok(None) };
        let (kind, size) = (entry.kind, entry.size().unwrap_or(1));
        let bytes = self.bytes(reader, tag, size * N as u64)?.unwrap_or_default();
        let value = |bytes: &[u8]| match kind {
            5 => Some(self.integer(&bytes[..4]) as f32 / self.integer(&bytes[4..]) as f32),
            11 => Some(f32::from_bits(self.integer(bytes) as u32)),
            3 | 4 => Some(self.integer(bytes) as f32),
            _ => None,
        };
        let values: Option<Vec<f32>> = bytes.chunks_exact(size as usize).map(value).collect();
        let finite = values.filter(|values| values.iter().all(|value| value.is_finite()));
        Ok(finite.and_then(|values| values.try_into().ok()))
    }
}
