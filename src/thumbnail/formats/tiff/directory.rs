//! The first image file directory (TIFF 6.0, section 2, or BigTIFF): its tags and their values.

use std::borrow::Cow;
use std::io::{Read, SeekFrom};

use super::super::codec::BufReadSeek;
use super::super::header::{header_error, read};
use crate::error::Error;

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

    /// Fails for tags that are not of integers: their default would be wrong.
    fn integer_type(&self) -> Result<IntegerType, Error> {
        let (bytes, signed) = match self.kind {
            1 => (1, false),
            3 => (2, false),
            4 | 13 => (4, false),
            16 | 18 => (8, false),
            6 => (1, true),
            8 => (2, true),
            9 => (4, true),
            17 => (8, true),
            _ => return Err(Error::BadHeader("a tag of another type than integers")),
        };
        Ok(IntegerType { bytes, signed })
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
        Ok(integer(&value[..bytes], self.little_endian))
    }

    /// The first entry of a tag; repetitions are ignored.
    fn find(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.find(tag).is_some()
    }

    /// The values of a tag as bytes, at most `max` of them. Uses no more memory than the file has bytes, whatever the
    /// count is.
    pub(super) fn bytes(&self, reader: &mut dyn BufReadSeek, tag: u16, max: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let size = entry.size().ok_or(Error::BadHeader("a tag of an unknown type"))?;
        let length = size.saturating_mul(entry.count);
        if length > max {
            return Err(Error::BadHeader("a tag with too many values"));
        }
        let inline = self.inline_bytes() as u64;
        if length <= inline {
            return Ok(Some(entry.field[..length as usize].to_vec()));
        }
        reader.seek(SeekFrom::Start(self.offset(entry))).map_err(header_error)?;
        let mut bytes = Vec::new();
        reader.take(length).read_to_end(&mut bytes).map_err(header_error)?;
        if bytes.len() as u64 == length { Ok(Some(bytes)) } else { Err(Error::Truncated) }
    }

    /// The values of a tag of integers, at most `max` of them.
    pub(super) fn integers(&self, reader: &mut dyn BufReadSeek, tag: u16, max: u64) -> Result<Vec<u64>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(Vec::new()) };
        let kind = entry.integer_type()?;
        let bytes = self.bytes(reader, tag, max.saturating_mul(kind.bytes as u64))?.unwrap_or_default();
        bytes.chunks_exact(kind.bytes).map(|bytes| kind.value(bytes, self.little_endian)).collect()
    }

    /// The integers of a tag in a file in memory, which are read one by one.
    pub(super) fn integers_of<'a>(&self, file: &'a [u8], tag: u16) -> Result<Option<Integers<'a>>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let (kind, count) = (entry.integer_type()?, usize::try_from(entry.count).unwrap_or(usize::MAX));
        let bytes = match count.saturating_mul(kind.bytes) {
            length if length <= self.inline_bytes() => entry.field[..length].to_vec().into(),
            _ => {
                let start = usize::try_from(self.offset(entry)).unwrap_or(usize::MAX);
                file.get(start..).unwrap_or_default().into()
            }
        };
        Ok(Some(Integers { bytes, count, kind, little_endian: self.little_endian }))
    }

    /// The only or first value of a tag of integers.
    pub(super) fn integer_of(&self, tag: u16) -> Result<Option<u64>, Error> {
        let Some(entry) = self.find(tag).filter(|entry| entry.count > 0) else { return Ok(None) };
        let kind = entry.integer_type()?;
        if entry.count.saturating_mul(kind.bytes as u64) > self.inline_bytes() as u64 {
            return Err(Error::BadHeader("a tag with too many values"));
        }
        kind.value(&entry.field[..kind.bytes], self.little_endian).map(Some)
    }

    /// The first value of a tag of integers, wherever it is stored.
    pub(super) fn first_integer(&self, reader: &mut dyn BufReadSeek, tag: u16) -> Result<Option<u64>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let kind = entry.integer_type()?;
        if entry.count.saturating_mul(kind.bytes as u64) <= self.inline_bytes() as u64 {
            return self.integer_of(tag);
        }
        reader.seek(SeekFrom::Start(self.offset(entry))).map_err(header_error)?;
        let mut bytes = [0; 8];
        reader.read_exact(&mut bytes[..kind.bytes]).map_err(header_error)?;
        kind.value(&bytes[..kind.bytes], self.little_endian).map(Some)
    }

    /// The values of a tag of `N` fractions, floats or integers.
    pub(super) fn fractions<const N: usize>(
        &self,
        reader: &mut dyn BufReadSeek,
        tag: u16,
    ) -> Result<Option<[f32; N]>, Error> {
        let Some(entry) = self.find(tag) else { return Ok(None) };
        let (kind, size) = (entry.kind, entry.size().unwrap_or(1));
        if entry.count != N as u64 {
            return Err(Error::BadHeader("a tag with another number of values"));
        }
        let bytes = self.bytes(reader, tag, size * N as u64)?.unwrap_or_default();
        let integer = |bytes: &[u8]| integer(bytes, self.little_endian);
        let signed = |bytes: &[u8]| (integer(bytes) as u32).cast_signed() as f32;
        let value = |bytes: &[u8]| match kind {
            5 => Some(integer(&bytes[..4]) as f32 / integer(&bytes[4..]) as f32),
            10 => Some(signed(&bytes[..4]) / signed(&bytes[4..])),
            11 => Some(f32::from_bits(integer(bytes) as u32)),
            12 => Some(f64::from_bits(integer(bytes)) as f32),
            1 | 3 | 4 => Some(integer(bytes) as f32),
            _ => None,
        };
        let values: Option<Vec<f32>> = bytes.chunks_exact(size as usize).map(value).collect();
        let values = values.ok_or(Error::BadHeader("a tag of another type than fractions"))?;
        // Without a finite value, the default applies.
        Ok(values.try_into().ok().filter(|values: &[f32; N]| values.iter().all(|value| value.is_finite())))
    }

    /// Bytes of values that are stored in place of their offset.
    fn inline_bytes(&self) -> usize {
        if self.big { 8 } else { 4 }
    }

    /// The file offset of values that are not stored in their entry.
    fn offset(&self, entry: &Entry) -> u64 {
        integer(&entry.field[..self.inline_bytes()], self.little_endian)
    }
}

/// A type of integers.
#[derive(Clone, Copy)]
struct IntegerType {
    bytes: usize,
    signed: bool,
}

impl IntegerType {
    /// No tag has negative values.
    fn value(self, bytes: &[u8], little_endian: bool) -> Result<u64, Error> {
        let value = integer(bytes, little_endian);
        let is_negative = self.signed && value >> (8 * self.bytes - 1) == 1;
        if is_negative { Err(Error::BadHeader("a tag with a negative value")) } else { Ok(value) }
    }
}

/// The integers of a tag in a file in memory.
pub(super) struct Integers<'a> {
    bytes: Cow<'a, [u8]>,
    count: usize,
    kind: IntegerType,
    little_endian: bool,
}

impl Integers<'_> {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, index: usize) -> Result<u64, Error> {
        if index >= self.count {
            return Err(Error::corrupt("too few values of a tag"));
        }
        let start = index.saturating_mul(self.kind.bytes);
        let bytes = self.bytes.get(start..start.saturating_add(self.kind.bytes)).ok_or(Error::Truncated)?;
        self.kind.value(bytes, self.little_endian)
    }
}

/// An unsigned integer of up to 8 bytes.
fn integer(bytes: &[u8], little_endian: bool) -> u64 {
    let shifted = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
    if little_endian { bytes.iter().rev().fold(0, shifted) } else { bytes.iter().fold(0, shifted) }
}
