//! BMP: run-length coding of 4, 8 or 24 bits. One pass finds the start of each row, so that rows can be decoded in any
//! order without a buffer for all pixels.

use super::headers::Headers;
use super::palette::Palette;
use crate::error::Error;

/// Run-length coded pixels.
pub(super) struct Runs<'a> {
    data: &'a [u8],
    width: usize,
    height: usize,
    bits: u32,
    palette: Palette,
    /// Where the codes of each stored row start. Rows without codes are skipped by the data.
    starts: Vec<Option<Start>>,
    /// Whether the data skips pixels. Browsers show them as transparent.
    has_gaps: bool,
}

#[derive(Clone, Copy)]
struct Start {
    /// Position in the data.
    at: usize,
    /// The column of the first pixel.
    column: usize,
}

enum Code<'a> {
    /// A number of pixels of one colour, or of two that alternate.
    Run(usize, &'a [u8]),
    /// A number of pixels with a colour each.
    Literal(usize, &'a [u8]),
    EndOfRow,
    EndOfImage,
    /// Skips this number of columns and rows.
    Skip(usize, usize),
}

impl<'a> Runs<'a> {
    pub(super) fn new(file: &'a [u8], headers: &Headers) -> Result<Self, Error> {
        let mut runs = Self {
            data: file.get(headers.pixels..).unwrap_or_default(),
            width: headers.size.width as usize,
            height: headers.size.height as usize,
            bits: headers.bits,
            palette: Palette::read(file, headers),
            starts: Vec::new(),
            has_gaps: false,
        };
        runs.find_rows()?;
        Ok(runs)
    }

    pub(super) fn has_alpha(&self) -> bool {
        self.has_gaps
    }

    /// Finds the start of each row. The data may end without an end code after the last pixel, but not before.
    fn find_rows(&mut self) -> Result<(), Error> {
        self.starts = vec![None; self.height];
        let (mut at, mut row, mut column) = (0, 0, 0);
        self.starts[0] = Some(Start { at, column });
        while row < self.height {
            let complete = row + 1 == self.height && column == self.width;
            let Some((code, after)) = self.code(at) else {
                return if complete { Ok(()) } else { Err(Error::Truncated) };
            };
            at = after;
            match code {
                Code::Run(count, _) | Code::Literal(count, _) => column = (column + count).min(self.width),
                Code::EndOfRow => {
                    self.has_gaps |= column < self.width;
                    (row, column) = (row + 1, 0);
                }
                Code::EndOfImage => {
                    self.has_gaps |= !complete;
                    return Ok(());
                }
                Code::Skip(columns, rows) => {
                    self.has_gaps |= columns > 0 && column < self.width || rows > 0;
                    (row, column) = (row + rows, (column + columns).min(self.width));
                    if rows == 0 {
                        continue;
                    }
                }
            }
            if matches!(code, Code::EndOfRow | Code::Skip(..))
                && let Some(start) = self.starts.get_mut(row)
            {
                *start = Some(Start { at, column });
            }
        }
        Ok(())
    }

    /// The code at this position, and the position of the next.
    fn code(&self, at: usize) -> Option<(Code<'a>, usize)> {
        let bytes = |range: std::ops::Range<usize>| self.data.get(range);
        let colour_bytes = if self.bits == 24 { 3 } else { 1 };
        match *bytes(at..at + 2)? {
            [0, 0] => Some((Code::EndOfRow, at + 2)),
            [0, 1] => Some((Code::EndOfImage, at + 2)),
            [0, 2] => match *bytes(at + 2..at + 4)? {
                [columns, rows] => Some((Code::Skip(columns.into(), rows.into()), at + 4)),
                _ => None,
            },
            [0, count] => {
                let count = usize::from(count);
                let length = (count * self.bits as usize).div_ceil(8);
                // Padded to an even length.
                let end = at + 2 + length;
                Some((Code::Literal(count, bytes(at + 2..end)?), end + length % 2))
            }
            [count, _] => {
                let end = at + 1 + colour_bytes;
                Some((Code::Run(count.into(), bytes(at + 1..end)?), end))
            }
            _ => None,
        }
    }

    /// Converts a stored row to RGB, or RGBA if there are gaps.
    pub(super) fn decode(&self, row: usize, target: &mut [u8]) {
        target.fill(0);
        let Some(Start { mut at, mut column }) = self.starts[row] else { return };
        let channels = if self.has_gaps { 4 } else { 3 };
        while let Some((code, after)) = self.code(at) {
            at = after;
            let (count, colours, repeats) = match code {
                Code::Run(count, colours) => (count, colours, true),
                Code::Literal(count, colours) => (count, colours, false),
                Code::Skip(columns, 0) => {
                    column += columns;
                    continue;
                }
                Code::EndOfRow | Code::EndOfImage | Code::Skip(..) => return,
            };
            let pixels = target.chunks_exact_mut(channels).skip(column).take(count);
            for (index, pixel) in pixels.enumerate() {
                pixel.fill(u8::MAX);
                pixel[..3].copy_from_slice(&self.colour(colours, index, repeats));
            }
            column = (column + count).min(self.width);
        }
    }

    /// The colour of a pixel of a run or of literals.
    fn colour(&self, colours: &[u8], index: usize, repeats: bool) -> [u8; 3] {
        match self.bits {
            4 => {
                let byte = colours[if repeats { 0 } else { index / 2 }];
                self.palette.colour(if index.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
            }
            8 => self.palette.colour(colours[if repeats { 0 } else { index }]),
            _ => {
                let start = if repeats { 0 } else { index * 3 };
                [colours[start + 2], colours[start + 1], colours[start]]
            }
        }
    }
}
