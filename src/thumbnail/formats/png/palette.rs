//! The palette of an indexed PNG and its transparency, for all indices: those beyond the palette have its last colour,
//! as in Chromium.

use std::io::{self, Read};

use super::chunks::{CRC_BYTES, crc_of};

/// Number of indices of 8 bits.
const INDICES: usize = 256;

/// Length of a colour in `PLTE`.
const COLOUR_BYTES: usize = 3;

/// The longest `PLTE`.
pub(super) const MAX_BYTES: u32 = (INDICES * COLOUR_BYTES) as u32;

/// Whether `PLTE` may have this length.
pub(super) fn is_valid(length: u32) -> bool {
    (1..=MAX_BYTES).contains(&length) && length.is_multiple_of(COLOUR_BYTES as u32)
}

/// Extends the chunks `PLTE` and `tRNS`.
#[derive(Default)]
pub(super) struct Palette {
    /// The number of stored colours.
    colours: usize,
}

impl Palette {
    /// Reads a chunk and returns it with all indices; unchanged if it is damaged, or if it does not reach the last
    /// colour: the others are opaque.
    pub(super) fn extended(&mut self, file: &mut impl Read, length: u32, name: [u8; 4]) -> io::Result<Vec<u8>> {
        let mut chunk = [length.to_be_bytes(), name].concat();
        file.take(u64::from(length) + u64::from(CRC_BYTES)).read_to_end(&mut chunk)?;
        Ok(self.extension(&chunk[8..], name).unwrap_or(chunk))
    }

    fn extension(&mut self, stored: &[u8], name: [u8; 4]) -> Option<Vec<u8>> {
        let (data, crc) = stored.split_last_chunk::<4>()?;
        if crc_of(&[&name, data].concat()).sum().to_be_bytes() != *crc {
            return None;
        }
        let is_colours = name == *b"PLTE";
        if is_colours {
            self.colours = data.len() / COLOUR_BYTES;
        }
        let entry = if is_colours { COLOUR_BYTES } else { 1 };
        let data = data.get(..self.colours * entry)?;
        let last = data.get(data.len().checked_sub(entry)?..)?;
        let mut chunk = [((INDICES * entry) as u32).to_be_bytes(), name].concat();
        chunk.extend(data.iter().chain(last.iter().cycle()).take(INDICES * entry));
        let crc = crc_of(&chunk[4..]).sum();
        chunk.extend(crc.to_be_bytes());
        Some(chunk)
    }
}
