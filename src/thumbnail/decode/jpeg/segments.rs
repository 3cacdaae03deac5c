//! The segments of a file (ITU-T T.81, annex B): what they define, up to each scan.

use std::rc::Rc;

use super::frame::Frame;
use super::huffman::Definition;
use super::notes::Notes;
use super::standard;
use super::window::Window;
use crate::thumbnail::Error;

/// The quantiser of each coefficient, in the file's own order.
pub(super) type Quantisers = [i32; 64];

/// The tables that are in force; a later definition takes the place of an earlier one.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    quantisers: [Option<Rc<Quantisers>>; 4],
    dc: [Option<Rc<Definition>>; 4],
    ac: [Option<Rc<Definition>>; 4],
    /// How many MCUs stand between restart markers, or 0.
    pub(super) restart: usize,
}

impl Tables {
    pub(super) fn quantisers(&self, number: usize) -> Result<&Quantisers, Error> {
        self.quantisers.get(number).and_then(Option::as_deref).ok_or_else(missing)
    }

    pub(super) fn dc(&self, number: usize) -> Result<&Definition, Error> {
        self.dc.get(number).and_then(Option::as_deref).ok_or_else(missing)
    }

    pub(super) fn ac(&self, number: usize) -> Result<&Definition, Error> {
        self.ac.get(number).and_then(Option::as_deref).ok_or_else(missing)
    }
}

/// What the header of a scan says.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) tables: Tables,
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

const DHT: u8 = 0xc4;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DRI: u8 = 0xdd;

/// Reads a file from segment to segment.
pub(super) struct Segments {
    at: usize,
    tables: Tables,
    pub(super) notes: Notes,
    pub(super) frame: Option<Frame>,
}

impl Segments {
    /// From behind the SOI marker of a file on.
    pub(super) fn new() -> Self {
        let pair = |[luma, chroma]: [Definition; 2]| [Some(Rc::new(luma)), Some(Rc::new(chroma)), None, None];
        let (dc, ac) = (pair(standard::DC), pair(standard::AC));
        let tables = Tables { quantisers: [const { None }; 4], dc, ac, restart: 0 };
        Self { at: 2, tables, notes: Notes::default(), frame: None }
    }

    /// Continues behind the entropy-coded data of a scan, of which this is known to be a part.
    pub(super) fn pass_data(&mut self, from: usize) {
        self.at = from;
    }

    /// Reads up to the data of the next scan; `None` where the picture ends.
    pub(super) fn next_scan(&mut self, window: &mut Window) -> Result<Option<Scan>, Error> {
        loop {
            let marker = self.marker(window)?;
            if matches!(marker, 0x01 | 0xd0..=SOI) {
                continue;
            }
            if marker == EOI {
                return Ok(None);
            }
            let content = self.content(window)?;
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
    fn marker(&mut self, window: &mut Window) -> Result<u8, Error> {
        loop {
            let rest = window.from(self.at)?;
            let Some(found) = memchr::memchr(0xff, rest) else {
                if rest.is_empty() {
                    return Err(Error::Truncated);
                }
                self.at += rest.len();
                continue;
            };
            self.at += found + 1;
            let next = match rest.get(found + 1) {
                Some(&next) => next,
                None => *window.from(self.at)?.first().ok_or(Error::Truncated)?,
            };
            match next {
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
    fn content<'w>(&mut self, window: &'w mut Window) -> Result<&'w [u8], Error> {
        let rest = window.from(self.at)?;
        let &[high, low, ..] = rest else { return Err(Error::Truncated) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(Error::corrupt("a segment shorter than its length"));
        }
        self.at += length;
        rest.get(2..length).ok_or(Error::Truncated)
    }

    /// B.2.4.1
    fn quantisers(&mut self, mut content: &[u8]) -> Result<(), Error> {
        while let Some((&kind, rest)) = content.split_first() {
            let table = match kind >> 4 {
                0 => rest.split_first_chunk::<64>().map(|(table, rest)| (table.map(i32::from), rest)),
                _ => rest.split_first_chunk::<128>().map(|(table, rest)| (words(table), rest)),
            };
            let (table, rest) = table.ok_or_else(|| Error::corrupt("a short quantisation table"))?;
            let place = self.tables.quantisers.get_mut(usize::from(kind & 15));
            *place.ok_or_else(|| Error::corrupt("a fifth quantisation table"))? = Some(Rc::new(table));
            content = rest;
        }
        Ok(())
    }

    /// B.2.4.2
    fn codes(&mut self, mut content: &[u8]) -> Result<(), Error> {
        while let Some((&kind, rest)) = content.split_first() {
            let table = rest.split_first_chunk().and_then(|(lengths, rest): (&[u8; 16], _)| {
                let count = lengths.iter().map(|&count| usize::from(count)).sum();
                let (symbols, rest) = rest.split_at_checked(count)?;
                Some((Definition { lengths: *lengths, symbols: symbols.to_vec().into() }, rest))
            });
            let (table, rest) = table.ok_or_else(|| Error::corrupt("a short Huffman table"))?;
            let tables = if kind >> 4 == 0 { &mut self.tables.dc } else { &mut self.tables.ac };
            let place = tables.get_mut(usize::from(kind & 15));
            *place.ok_or_else(|| Error::corrupt("a fifth Huffman table"))? = Some(Rc::new(table));
            content = rest;
        }
        Ok(())
    }

    /// B.2.3
    fn scan(&self, content: &[u8]) -> Result<Scan, Error> {
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
        let (tables, start) = (self.tables.clone(), self.at);
        Ok(Scan { tables, parts, count: count.into(), first, last, high, low, start })
    }
}

fn word(content: &[u8]) -> Result<usize, Error> {
    let bytes = content.first_chunk().ok_or_else(|| Error::corrupt("a short segment"))?;
    Ok(u16::from_be_bytes(*bytes).into())
}

/// Quantisers of 16 bits. A coefficient of 8-bit samples has 12 bits, so that the larger ones make no difference that is
/// seen, but sums that overflow.
fn words(table: &[u8; 128]) -> Quantisers {
    std::array::from_fn(|at| i32::from(u16::from_be_bytes([table[2 * at], table[2 * at + 1]])).min(0x1fff))
}

fn missing() -> Error {
    Error::corrupt("a table that is not defined")
}
