//! Marker segments (ITU-T T.81, annex B): the tables they define, the frame header, and the scan headers.

use std::rc::Rc;

use super::app_segments::Metadata;
use super::default_tables;
use super::frame::Frame;
use super::huffman::HuffmanSpec;
use super::source::Source;
use super::variants;
use crate::error::Error;

/// Quantisers in zigzag order.
pub(super) type Quantisers = [i32; 64];

/// The current tables; a later definition replaces an earlier one.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    quantisers: [Option<Rc<Quantisers>>; 4],
    dc: [Option<Rc<HuffmanSpec>>; 4],
    ac: [Option<Rc<HuffmanSpec>>; 4],
    /// MCUs between restart markers, or 0 without markers.
    pub(super) restart_interval: usize,
}

impl Tables {
    pub(super) fn quantisers(&self, number: usize) -> Result<&Quantisers, Error> {
        self.quantisers.get(number).and_then(Option::as_deref).ok_or_else(undefined_table)
    }

    pub(super) fn dc(&self, number: usize) -> Result<&HuffmanSpec, Error> {
        self.dc.get(number).and_then(Option::as_deref).ok_or_else(undefined_table)
    }

    pub(super) fn ac(&self, number: usize) -> Result<&HuffmanSpec, Error> {
        self.ac.get(number).and_then(Option::as_deref).ok_or_else(undefined_table)
    }
}

/// A scan header.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) tables: Tables,
    components: [ComponentSelector; 4],
    count: usize,
    /// Ss: zigzag position of the first coefficient.
    pub(super) spectral_start: usize,
    /// Se: zigzag position of the last coefficient.
    pub(super) spectral_end: usize,
    /// Ah: number of low bits that the previous scan of these coefficients left out, or 0 for the first scan.
    pub(super) approx_high: u32,
    /// Al: number of low bits that this scan leaves out.
    pub(super) approx_low: u32,
    /// File offset of its entropy-coded data.
    pub(super) start: usize,
}

/// A component of a scan.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ComponentSelector {
    /// Index in the frame.
    pub(super) index: usize,
    pub(super) dc_table: usize,
    pub(super) ac_table: usize,
}

impl Scan {
    /// 1 to 4 different components.
    pub(super) fn components(&self) -> &[ComponentSelector] {
        &self.components[..self.count]
    }

    /// Whether a component of the frame is in this scan.
    pub(super) fn has_component(&self, index: usize) -> bool {
        self.components().iter().any(|component| component.index == index)
    }
}

const DHT: u8 = 0xc4;
const DAC: u8 = 0xcc;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DRI: u8 = 0xdd;

/// Reads a file segment by segment.
pub(super) struct SegmentReader {
    offset: usize,
    tables: Tables,
    pub(super) metadata: Metadata,
    pub(super) frame: Option<Frame>,
}

impl SegmentReader {
    /// Starts after the SOI marker of a file.
    pub(super) fn new() -> Self {
        let pair = |[luma, chroma]: [HuffmanSpec; 2]| [Some(Rc::new(luma)), Some(Rc::new(chroma)), None, None];
        let (dc, ac) = (pair(default_tables::DC), pair(default_tables::AC));
        let tables = Tables { quantisers: [const { None }; 4], dc, ac, restart_interval: 0 };
        Self { offset: 2, tables, metadata: Metadata::default(), frame: None }
    }

    /// Continues at a later file offset within or after the entropy-coded data of a scan.
    pub(super) fn resume_at(&mut self, offset: usize) {
        self.offset = offset;
    }

    /// Reads up to the data of the next scan; `None` at the EOI marker.
    pub(super) fn next_scan(&mut self, source: &mut Source) -> Result<Option<Scan>, Error> {
        loop {
            let marker = source.next_marker(&mut self.offset)?;
            // Reserved markers are stray bytes in the data of a scan.
            if matches!(marker, ..0xc0 | 0xd0..=SOI) {
                continue;
            }
            if marker == EOI {
                return Ok(None);
            }
            let payload = self.payload(source)?;
            match marker {
                SOS => return self.scan_header(payload).map(Some),
                DHT => self.define_huffman(payload)?,
                DQT => self.define_quantisers(payload)?,
                DRI => self.tables.restart_interval = restart_interval(payload)?,
                0xc0..=0xc2 if self.frame.is_some() => return Err(Error::corrupt("two frames")),
                0xc0..=0xc2 => self.frame = Some(Frame::new(payload, marker == 0xc2)?),
                // Conditioning of arithmetic coding has no effect on Huffman coding.
                DAC => {}
                // The upload shows only the first frame.
                _ if variants::unsupported(marker).is_some() && self.frame.is_some() => {
                    return Err(Error::corrupt("two frames"));
                }
                _ if let Some(error) = variants::unsupported(marker) => return Err(error),
                _ => self.metadata.read(marker, payload),
            }
        }
    }

    /// The payload of a segment, without its length field.
    fn payload<'s>(&mut self, source: &'s mut Source) -> Result<&'s [u8], Error> {
        let rest = source.bytes_from(self.offset)?;
        let &[high, low, ..] = rest else { return Err(Error::Truncated) };
        // The length includes itself. libjpeg takes a smaller one for an empty segment, too.
        let length = usize::from(u16::from_be_bytes([high, low])).max(2);
        self.offset += length;
        rest.get(2..length).ok_or(Error::Truncated)
    }

    /// DQT (B.2.4.1).
    fn define_quantisers(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        while let Some((&id, rest)) = payload.split_first() {
            let table = match id >> 4 {
                0 => rest.split_first_chunk::<64>().map(|(table, rest)| (table.map(i32::from), rest)),
                _ => rest.split_first_chunk::<128>().map(|(table, rest)| (wide_quantisers(table), rest)),
            };
            let (table, rest) = table.ok_or_else(|| Error::corrupt("a short quantisation table"))?;
            let slot = self.tables.quantisers.get_mut(usize::from(id & 15));
            *slot.ok_or_else(|| Error::corrupt("a fifth quantisation table"))? = Some(Rc::new(table));
            payload = rest;
        }
        Ok(())
    }

    /// DHT (B.2.4.2).
    fn define_huffman(&mut self, mut payload: &[u8]) -> Result<(), Error> {
        while let Some((&id, rest)) = payload.split_first() {
            let table = rest.split_first_chunk().and_then(|(lengths, rest): (&[u8; 16], _)| {
                let count = lengths.iter().map(|&count| usize::from(count)).sum();
                let (symbols, rest) = rest.split_at_checked(count)?;
                Some((HuffmanSpec { lengths: *lengths, symbols: symbols.to_vec().into() }, rest))
            });
            let (table, rest) = table.ok_or_else(|| Error::corrupt("a short Huffman table"))?;
            let tables = if id >> 4 == 0 { &mut self.tables.dc } else { &mut self.tables.ac };
            let slot = tables.get_mut(usize::from(id & 15));
            *slot.ok_or_else(|| Error::corrupt("a fifth Huffman table"))? = Some(Rc::new(table));
            payload = rest;
        }
        Ok(())
    }

    /// SOS (B.2.3).
    fn scan_header(&self, payload: &[u8]) -> Result<Scan, Error> {
        const BAD: &str = "a bad scan header";
        let frame = self.frame.as_ref().ok_or(Error::BadHeader("a JPEG without a frame header"))?;
        let (&count, rest) = payload.split_first().ok_or_else(|| Error::corrupt(BAD))?;
        let (selectors, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(|| Error::corrupt(BAD))?;
        let &[start, end, approx, ..] = rest else { return Err(Error::corrupt(BAD)) };
        let mut components = [ComponentSelector::default(); 4];
        for (at, &[id, tables]) in selectors.as_chunks::<2>().0.iter().enumerate() {
            // Some files have the same id for several components; they follow one another, as in libjpeg-turbo.
            let used = |index: usize| components[..at.min(4)].iter().any(|other| other.index == index);
            let matching = frame.components.iter().enumerate().filter(|(_, component)| component.id == id);
            let index = matching.map(|(index, _)| index).find(|&index| !used(index));
            let (index, selector) = index.zip(components.get_mut(at)).ok_or_else(|| Error::corrupt(BAD))?;
            *selector = ComponentSelector { index, dc_table: (tables >> 4).into(), ac_table: (tables & 15).into() };
        }
        let (spectral_start, spectral_end, approx_high, approx_low) = match frame.progressive {
            true => (start.into(), end.into(), u32::from(approx >> 4), u32::from(approx & 15)),
            false => (0, 63, 0, 0),
        };
        // A progressive scan has either DC coefficients, or AC coefficients of a single component (G.1.1.1.1).
        let separate = if spectral_start == 0 { spectral_end == 0 || !frame.progressive } else { count == 1 };
        let ordered = spectral_end <= 63 && spectral_start <= spectral_end;
        let refines = approx_high == 0 || approx_high == approx_low + 1;
        if count == 0 || !ordered || !separate || approx_low > 13 || !refines {
            return Err(Error::corrupt(BAD));
        }
        Ok(Scan {
            tables: self.tables.clone(),
            components,
            count: count.into(),
            spectral_start,
            spectral_end,
            approx_high,
            approx_low,
            start: self.offset,
        })
    }
}

/// DRI (B.2.4.4).
fn restart_interval(payload: &[u8]) -> Result<usize, Error> {
    let bytes = payload.first_chunk().ok_or_else(|| Error::corrupt("a short segment"))?;
    Ok(u16::from_be_bytes(*bytes).into())
}

/// Quantisers of 16 bits. They are capped because coefficients of 8-bit samples have 12 bits: larger quantisers have no
/// visible effect, but cause overflow.
fn wide_quantisers(table: &[u8; 128]) -> Quantisers {
    std::array::from_fn(|at| i32::from(u16::from_be_bytes([table[2 * at], table[2 * at + 1]])).min(0x1fff))
}

pub(super) fn undefined_table() -> Error {
    Error::corrupt("an undefined table")
}
