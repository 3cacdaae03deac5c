//! Black and white in the codes of fax machines: modified Huffman (TIFF 6.0, section 10), ITU-T T.4 and T.6.

mod bit_reader;
mod codes;
#[cfg(test)]
pub(super) mod tests;

use std::borrow::Cow;

use bit_reader::BitReader;
use codes::{MAX_CODE_BITS, RUN_TABLES};

use super::rows::RowReader;
use super::variant::Ccitt;
use crate::error::Error;

/// Decodes strips or tiles, row by row. In a row, 1 is black.
pub(super) struct CcittReader<'a> {
    bits: BitReader<'a>,
    coding: Ccitt,
    width: usize,
    /// The columns where the colour changes, from white on, in the current and in the previous row.
    changes: Vec<usize>,
    reference: Vec<usize>,
    /// Whether rows begin with an end-of-line code: bits between the last pixel of a row and the next code are skipped.
    has_ends: bool,
}

/// The codes of two-dimensional rows (ITU-T T.4, table 4).
enum Mode {
    Pass,
    Horizontal,
    Vertical(isize),
}

impl CcittReader<'_> {
    /// A reader without a strip or tile yet.
    pub(super) fn new(coding: Ccitt, width: usize) -> Self {
        let bits = BitReader::new(Cow::default());
        Self { bits, coding, width, changes: Vec::new(), reference: Vec::new(), has_ends: false }
    }

    fn decode_row(&mut self) -> Result<(), Error> {
        std::mem::swap(&mut self.changes, &mut self.reference);
        self.changes.clear();
        match self.coding {
            Ccitt::Rle { word_aligned } => {
                self.bits.align(if word_aligned { 16 } else { 8 });
                let column = self.one_dimensional_row()?;
                self.check_width(column)
            }
            Ccitt::Group3 { two_dimensional } => self.group_3_row(two_dimensional),
            Ccitt::Group4 => {
                if self.bits.skip_end_of_line() {
                    // Two are the end of the data, before the last row.
                    let is_end = self.bits.skip_end_of_line();
                    return Err(if is_end { Error::Truncated } else { self.invalid_code() });
                }
                let column = self.two_dimensional_row()?;
                self.check_width(column)
            }
        }
    }

    fn group_3_row(&mut self, two_dimensional: bool) -> Result<(), Error> {
        if self.has_ends && !self.bits.seek_end_of_line() {
            return Err(Error::Truncated);
        }
        let mut one_dimensional = true;
        let mut ends = 0;
        while self.bits.skip_end_of_line() {
            ends += 1;
            one_dimensional = !two_dimensional || self.bits.take(1) == 1;
        }
        // A second end of line is the beginning of the return to control, before the last row.
        if ends > 1 && self.bits.is_at_end() || ends >= 5 {
            return Err(Error::Truncated);
        }
        self.has_ends |= ends > 0;
        let column = if one_dimensional { self.one_dimensional_row()? } else { self.two_dimensional_row()? };
        // Some files have wider rows than the page. Without codes of their ends, the next row is not found, and columns
        // that are not decoded are missing in the reference of a two-dimensional row.
        if self.has_ends && !two_dimensional { Ok(()) } else { self.check_width(column) }
    }

    fn check_width(&self, column: usize) -> Result<(), Error> {
        if column > self.width { Err(Error::corrupt("a run beyond the end of its row")) } else { Ok(()) }
    }

    /// Returns the column after the last pixel.
    fn one_dimensional_row(&mut self) -> Result<usize, Error> {
        let (mut column, mut black) = (0, false);
        while column < self.width {
            column += self.run(black)?;
            self.change_at(column)?;
            black = !black;
        }
        Ok(column)
    }

    /// Returns the column after the last pixel.
    fn two_dimensional_row(&mut self) -> Result<usize, Error> {
        let (mut column, mut black, mut at) = (0, false, None);
        while column < self.width {
            let reference = self.next_reference(at, column, black);
            at = Some(reference);
            let [this, next] =
                [reference, reference + 1].map(|at| self.reference.get(at).copied().unwrap_or(self.width));
            match self.mode()? {
                Mode::Pass => column = next,
                Mode::Horizontal => {
                    for black in [black, !black] {
                        column += self.run(black)?;
                        self.change_at(column)?;
                    }
                }
                Mode::Vertical(offset) => {
                    let change = this.checked_add_signed(offset).filter(|&change| change >= column);
                    column = change.ok_or_else(|| Error::corrupt("a change of colour before the last one"))?;
                    self.change_at(column)?;
                    black = !black;
                }
            }
        }
        Ok(column)
    }

    /// The index of the first change in the reference row that is right of the column and to the other colour. The first
    /// code of a row, without a previous index, can refer to the first pixel.
    fn next_reference(&self, previous: Option<usize>, column: usize, black: bool) -> usize {
        // A vertical offset can lead back over up to two changes.
        let mut at = previous.unwrap_or_default().saturating_sub(2);
        at += usize::from((at % 2 == 1) != black);
        while previous.is_some() && self.reference.get(at).is_some_and(|&change| change <= column) {
            at += 2;
        }
        at
    }

    /// Adds a change, also after a run of no pixels: some encoders write such runs, and then refer to them in the next
    /// row.
    fn change_at(&mut self, column: usize) -> Result<(), Error> {
        if self.changes.len() > 2 * self.width + 2 {
            return Err(Error::corrupt("more runs than pixels in a row"));
        }
        self.changes.push(column);
        Ok(())
    }

    /// The length of a run: any number of codes for multiples of 64, and one below.
    fn run(&mut self, black: bool) -> Result<usize, Error> {
        let table = &RUN_TABLES[usize::from(black)];
        let mut sum = 0;
        loop {
            let code = table[self.bits.peek(MAX_CODE_BITS) as usize];
            if code.bits == 0 {
                return Err(self.invalid_code());
            }
            self.bits.skip(code.bits.into())?;
            sum += usize::from(code.run);
            if code.run < 64 {
                return Ok(sum);
            }
        }
    }

    fn mode(&mut self) -> Result<Mode, Error> {
        const LONGEST: u32 = 7;
        let code = self.bits.peek(LONGEST);
        let (mode, bits) = match code {
            0b100_0000..=0b111_1111 => (Mode::Vertical(0), 1),
            0b011_0000..=0b011_1111 => (Mode::Vertical(1), 3),
            0b010_0000..=0b010_1111 => (Mode::Vertical(-1), 3),
            0b001_0000..=0b001_1111 => (Mode::Horizontal, 3),
            0b000_1000..=0b000_1111 => (Mode::Pass, 4),
            0b000_0110..=0b000_0111 => (Mode::Vertical(2), 6),
            0b000_0100..=0b000_0101 => (Mode::Vertical(-2), 6),
            0b000_0011 => (Mode::Vertical(3), 7),
            0b000_0010 => (Mode::Vertical(-3), 7),
            _ => return Err(self.invalid_code()),
        };
        self.bits.skip(bits)?;
        Ok(mode)
    }

    fn invalid_code(&self) -> Error {
        if self.bits.is_at_end() { Error::Truncated } else { Error::corrupt("an invalid CCITT code") }
    }

    /// Sets the bits of black pixels.
    fn paint(&self, row: &mut [u8]) {
        row.fill(0);
        for run in self.changes.chunks(2) {
            let (start, end) = (run[0].min(self.width), run.get(1).map_or(self.width, |&end| end.min(self.width)));
            let (first, last) = (start / 8, end / 8);
            let (head, tail) = (0xff_u8 >> (start % 8), !(0xff_u8 >> (end % 8)));
            if first == last {
                if let Some(byte) = row.get_mut(first) {
                    *byte |= head & tail;
                }
                continue;
            }
            row[first] |= head;
            row[first + 1..last].fill(0xff);
            if let Some(byte) = row.get_mut(last) {
                *byte |= tail;
            }
        }
    }
}

impl<'a> RowReader<'a> for CcittReader<'a> {
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        (self.bits, self.has_ends) = (BitReader::new(bytes), false);
        // The row before the first one is white.
        self.changes.clear();
        Ok(())
    }

    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Error> {
        self.decode_row()?;
        self.paint(row);
        Ok(())
    }
}
