//! The segments of a file (ITU-T T.81, annex B): what they define, up to each scan.

use super::frame::Frame;
use super::huffman::Definition;
use super::standard;
use crate::thumbnail::Error;

/// A quantisation table, in the file's own order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Quantisers<'a> {
    Bytes(&'a [u8; 64]),
    Words(&'a [u8; 128]),
}

impl Quantisers<'_> {
    /// The quantiser of each coefficient. A coefficient of 8-bit samples has 12 bits, so that larger quantisers make no
    /// difference that is seen, but sums that overflow.
    pub(super) fn values(self) -> [i32; 64] {
        std::array::from_fn(|at| match self {
            Self::Bytes(table) => table[at].into(),
            Self::Words(table) => i32::from(u16::from_be_bytes([table[2 * at], table[2 * at + 1]])).min(0x1fff),
        })
    }
}

/// The tables that are in force; a later definition takes the place of an earlier one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables<'a> {
    pub(super) quantisers: [Option<Quantisers<'a>>; 4],
    pub(super) dc: [Option<Definition<'a>>; 4],
    pub(super) ac: [Option<Definition<'a>>; 4],
    /// How many MCUs stand between restart markers, or 0.
    pub(super) restart: usize,
}

/// What the header of a scan says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan<'a> {
    pub(super) tables: Tables<'a>,
    /// Of each component that takes part: its index in the frame, and its DC and AC table.
    pub(super) parts: [(usize, usize, usize); 4],
    /// How many take part.
    pub(super) count: usize,
    /// The first coefficient.
    pub(super) first: usize,
    /// The last coefficient.
    pub(super) last: usize,
    /// How many low bits the scans before left out, or 0 for none.
    pub(super) high: u32,
    /// How many low bits this scan leaves out.
    pub(super) low: u32,
    /// Where its entropy-coded data begins.
    pub(super) start: usize,
}

/// Notes about a picture that other standards put into application segments.
#[derive(Debug, Default)]
pub(super) struct Notes<'a> {
    /// Whether a JFIF segment says that three components are YCbCr.
    pub(super) jfif: bool,
    /// Adobe's transform. 0: RGB or CMYK as they are, 1: YCbCr, 2: YCCK.
    pub(super) adobe: Option<u8>,
    pub(super) exif: Option<&'a [u8]>,
    /// The parts of a profile, each with its number, and how many there must be.
    profile: Vec<(u8, u8, &'a [u8])>,
}

impl<'a> Notes<'a> {
    fn read(&mut self, marker: u8, content: &'a [u8]) {
        match (marker, content) {
            (APP0, [b'J', b'F', b'I', b'F', 0, ..]) => self.jfif = true,
            (APP1, [b'E', b'x', b'i', b'f', 0, _, exif @ ..]) if self.exif.is_none() => self.exif = Some(exif),
            (APP14, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => self.adobe = Some(*transform),
            (APP2, _) => {
                if let Some([number, count, part @ ..]) = content.strip_prefix(b"ICC_PROFILE\0") {
                    self.profile.push((*number, *count, part));
                }
            }
            _ => {}
        }
    }

    /// The profile, if all of its parts are there.
    pub(super) fn profile(&self) -> Option<Vec<u8>> {
        let mut parts = self.profile.clone();
        parts.sort_by_key(|&(number, _, _)| number);
        let count = parts.first()?.1;
        let whole = parts.len() == usize::from(count) && (1..).zip(&parts).all(|(number, part)| part.0 == number);
        whole.then(|| parts.iter().flat_map(|&(_, _, part)| part).copied().collect())
    }
}

const DHT: u8 = 0xc4;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DRI: u8 = 0xdd;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const APP14: u8 = 0xee;

/// Reads a file from segment to segment.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    tables: Tables<'a>,
    pub(super) notes: Notes<'a>,
    pub(super) frame: Option<Frame>,
}

impl<'a> Segments<'a> {
    /// From behind the SOI marker of a file on.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let [dc, ac] = [standard::DC, standard::AC].map(|[luma, chroma]| [Some(luma), Some(chroma), None, None]);
        let tables = Tables { quantisers: [None; 4], dc, ac, restart: 0 };
        Self { bytes, at: 2, tables, notes: Notes::default(), frame: None }
    }

    /// Continues behind the entropy-coded data of a scan, of which this is known to be a part.
    pub(super) fn pass_data(&mut self, from: usize) {
        self.at = from;
    }

    /// Reads up to the data of the next scan; `None` where the picture ends.
    pub(super) fn next_scan(&mut self) -> Result<Option<Scan<'a>>, Error> {
        loop {
            let marker = self.marker()?;
            if matches!(marker, 0x01 | 0xd0..=SOI) {
                continue;
            }
            if marker == EOI {
                return Ok(None);
            }
            let content = self.content()?;
            match marker {
                SOS => return self.scan(content).map(Some),
                DHT => self.codes(content)?,
                DQT => self.quantisers(content)?,
                DRI => self.tables.restart = word(content)?,
                0xc0..=0xc2 if self.frame.is_some() => return Err(Error::corrupt("two frames")),
                0xc0..=0xc2 => self.frame = Some(Frame::new(content, marker == 0xc2)?),
                0xc3 | 0xc5..=0xcf => return Err(Error::Unsupported("This variant of JPEG")),
                _ => self.notes.read(marker, content),
            }
        }
    }

    /// The next marker's second byte; what stands before it, such as the rest of a scan's data, is passed over (B.1.1.2:
    /// a 0xff in data is followed by 0 or a restart marker, and a fill byte by another 0xff).
    fn marker(&mut self) -> Result<u8, Error> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            self.at += memchr::memchr(0xff, rest).ok_or(Error::Truncated)? + 1;
            match *self.bytes.get(self.at).ok_or(Error::Truncated)? {
                0xff => {}
                0x00 => self.at += 1,
                marker => {
                    self.at += 1;
                    return Ok(marker);
                }
            }
        }
    }

    /// What stands in a segment, behind its length.
    fn content(&mut self) -> Result<&'a [u8], Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let &[high, low, ..] = rest else { return Err(Error::Truncated) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(Error::corrupt("a segment shorter than its length"));
        }
        self.at += length;
        rest.get(2..length).ok_or(Error::Truncated)
    }

    /// B.2.4.1
    fn quantisers(&mut self, mut content: &'a [u8]) -> Result<(), Error> {
        while let Some((&kind, rest)) = content.split_first() {
            let table = match kind >> 4 {
                0 => rest.split_first_chunk().map(|(table, rest)| (Quantisers::Bytes(table), rest)),
                _ => rest.split_first_chunk().map(|(table, rest)| (Quantisers::Words(table), rest)),
            };
            let (table, rest) = table.ok_or_else(|| Error::corrupt("a short quantisation table"))?;
            let place = self.tables.quantisers.get_mut(usize::from(kind & 15));
            *place.ok_or_else(|| Error::corrupt("a fifth quantisation table"))? = Some(table);
            content = rest;
        }
        Ok(())
    }

    /// B.2.4.2
    fn codes(&mut self, mut content: &'a [u8]) -> Result<(), Error> {
        while let Some((&kind, rest)) = content.split_first() {
            let table = rest.split_first_chunk().and_then(|(lengths, rest): (&[u8; 16], _)| {
                let count = lengths.iter().map(|&count| usize::from(count)).sum();
                let (symbols, rest) = rest.split_at_checked(count)?;
                Some((Definition { lengths, symbols }, rest))
            });
            let (table, rest) = table.ok_or_else(|| Error::corrupt("a short Huffman table"))?;
            let tables = if kind >> 4 == 0 { &mut self.tables.dc } else { &mut self.tables.ac };
            let place = tables.get_mut(usize::from(kind & 15));
            *place.ok_or_else(|| Error::corrupt("a fifth Huffman table"))? = Some(table);
            content = rest;
        }
        Ok(())
    }

    /// B.2.3
    fn scan(&self, content: &[u8]) -> Result<Scan<'a>, Error> {
        const BAD: &str = "a bad scan header";
        let frame = self.frame.as_ref().ok_or(Error::BadHeader("a JPEG without a frame header"))?;
        let (&count, content) = content.split_first().ok_or_else(|| Error::corrupt(BAD))?;
        let (names, content) = content.split_at_checked(2 * usize::from(count)).ok_or_else(|| Error::corrupt(BAD))?;
        let &[first, last, bits, ..] = content else { return Err(Error::corrupt(BAD)) };
        let mut parts = [(0, 0, 0); 4];
        for (at, &[id, tables]) in names.as_chunks::<2>().0.iter().enumerate() {
            let index = frame.components.iter().position(|component| component.id == id);
            let index = index.filter(|&index| !parts[..at.min(4)].iter().any(|part| part.0 == index));
            let (index, part) = index.zip(parts.get_mut(at)).ok_or_else(|| Error::corrupt(BAD))?;
            *part = (index, usize::from(tables >> 4), usize::from(tables & 15));
        }
        let (first, last, high, low) = match frame.progressive {
            true => (first.into(), last.into(), u32::from(bits >> 4), u32::from(bits & 15)),
            false => (0, 63, 0, 0),
        };
        let alone = if first == 0 { last == 0 || !frame.progressive } else { count == 1 };
        if count == 0 || last > 63 || first > last || !alone || low > 13 || (high > 0 && high != low + 1) {
            return Err(Error::corrupt(BAD));
        }
        let (tables, start) = (self.tables, self.at);
        Ok(Scan { tables, parts, count: count.into(), first, last, high, low, start })
    }
}

fn word(content: &[u8]) -> Result<usize, Error> {
    let bytes = content.first_chunk().ok_or_else(|| Error::corrupt("a short segment"))?;
    Ok(u16::from_be_bytes(*bytes).into())
}
