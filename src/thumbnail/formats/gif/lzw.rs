//! GIF: LZW data in sub-blocks (GIF89a, 15, 22 and appendix F). Pixels are decoded in batches, so that the length of a
//! row never matters to the decoder.

use crate::error::Error;

const MAX_CODE_BITS: u32 = 12;
const MAX_CODES: usize = 1 << MAX_CODE_BITS;

/// A batch ends with the string that reaches this number of pixels.
const BATCH: usize = 16 << 10;

/// Decodes the pixels of a frame.
pub(super) struct Lzw<'a> {
    codes: Codes<'a>,
    table: Table,
    /// Decoded pixels, with space for one string beyond [`BATCH`].
    pixels: Vec<u8>,
    /// The pixels that have not been read: `pixels[start..end]`.
    start: usize,
    end: usize,
    /// Why there are no more codes.
    ended: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    /// The file ends within the data.
    File,
    /// An end code, or the end of the sub-blocks.
    Data,
    /// A code that is not defined.
    UndefinedCode,
}

impl<'a> Lzw<'a> {
    /// `data` starts at the first sub-block.
    pub(super) fn new(data: &'a [u8], literal_bits: u32) -> Self {
        let pixels = vec![0; BATCH + MAX_CODES];
        Self { codes: Codes::new(data), table: Table::new(literal_bits), pixels, start: 0, end: 0, ended: None }
    }

    /// Fills `row` with the next pixels. Nothing after the last pixel is read: a missing end code, terminator or
    /// trailer is no error.
    pub(super) fn read(&mut self, row: &mut [u8]) -> Result<(), Error> {
        let mut filled = 0;
        while filled < row.len() {
            if self.start == self.end {
                match self.ended {
                    None => self.decode_batch(),
                    Some(End::File) => return Err(Error::Truncated),
                    Some(End::Data) => return Err(Error::corrupt("too few pixels in the frame")),
                    Some(End::UndefinedCode) => return Err(Error::corrupt("an undefined LZW code")),
                }
                continue;
            }
            let count = (self.end - self.start).min(row.len() - filled);
            row[filled..filled + count].copy_from_slice(&self.pixels[self.start..self.start + count]);
            filled += count;
            self.start += count;
        }
        Ok(())
    }

    fn decode_batch(&mut self) {
        (self.start, self.end) = (0, 0);
        while self.end < BATCH {
            let Some(code) = self.codes.next(self.table.code_bits) else {
                self.ended = Some(if self.codes.truncated { End::File } else { End::Data });
                return;
            };
            if code == self.table.clear_code() {
                self.table.clear();
            } else if code == self.table.end_code() {
                self.ended = Some(End::Data);
                return;
            } else if let Some(length) = self.table.decode(code, &mut self.pixels[self.end..]) {
                self.end += length;
            } else {
                self.ended = Some(End::UndefinedCode);
                return;
            }
        }
    }
}

/// The strings of the codes. Each is the string of another code and one more byte.
struct Table {
    literal_bits: u32,
    code_bits: u32,
    /// By code: the code of the prefix, shifted by 8, and the last byte.
    links: [u32; MAX_CODES],
    lengths: [u16; MAX_CODES],
    /// The next code to define.
    next: usize,
    /// The code before, and the first byte of its string.
    previous: Option<(usize, u8)>,
}

impl Table {
    fn new(literal_bits: u32) -> Self {
        let (mut links, mut lengths) = ([0; MAX_CODES], [0; MAX_CODES]);
        for literal in 0..1 << literal_bits {
            links[literal] = literal as u32 & 0xff;
            lengths[literal] = 1;
        }
        let mut table = Self { literal_bits, code_bits: 0, links, lengths, next: 0, previous: None };
        table.clear();
        table
    }

    fn clear_code(&self) -> usize {
        1 << self.literal_bits
    }

    fn end_code(&self) -> usize {
        self.clear_code() + 1
    }

    fn clear(&mut self) {
        self.code_bits = self.literal_bits + 1;
        self.next = self.end_code() + 1;
        self.previous = None;
    }

    /// Writes the string of a code to the start of `pixels`, and defines the next code. Returns the length of the
    /// string, or `None` if the code is not defined.
    fn decode(&mut self, code: usize, pixels: &mut [u8]) -> Option<usize> {
        let undefined = code == self.next;
        if undefined {
            // The string before, and its first byte once more.
            let (previous, first) = self.previous?;
            self.define(previous, first)?;
        } else if code > self.next {
            return None;
        }
        let length = usize::from(self.lengths[code]);
        let string = &mut pixels[..length];
        let mut link = code;
        for pixel in string.iter_mut().rev() {
            let entry = self.links[link % MAX_CODES];
            *pixel = entry as u8;
            link = (entry >> 8) as usize;
        }
        let first = string[0];
        if let Some((previous, _)) = self.previous.filter(|_| !undefined) {
            self.define(previous, first);
        }
        if self.next >= 1 << self.code_bits && self.code_bits < MAX_CODE_BITS {
            self.code_bits += 1;
        }
        self.previous = Some((code, first));
        Some(length)
    }

    /// Defines the next code, unless the table is full: it is kept then until it is cleared.
    fn define(&mut self, prefix: usize, last: u8) -> Option<()> {
        *self.links.get_mut(self.next)? = (prefix as u32) << 8 | u32::from(last);
        self.lengths[self.next] = self.lengths[prefix] + 1;
        self.next += 1;
        Some(())
    }
}

/// Reads codes from sub-blocks, least significant bits first.
struct Codes<'a> {
    rest: &'a [u8],
    /// Bytes of the current sub-block that have not been read.
    left: usize,
    bits: u32,
    count: u32,
    /// Whether the file ended before the sub-blocks did.
    truncated: bool,
}

impl<'a> Codes<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self { rest: data, left: 0, bits: 0, count: 0, truncated: false }
    }

    #[inline]
    fn next(&mut self, size: u32) -> Option<usize> {
        while self.count < size {
            self.bits |= u32::from(self.byte()?) << self.count;
            self.count += 8;
        }
        let code = self.bits & ((1 << size) - 1);
        self.bits >>= size;
        self.count -= size;
        Some(code as usize)
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let Some((&first, rest)) = self.rest.split_first() else {
            self.truncated = true;
            return None;
        };
        if self.left > 0 {
            (self.rest, self.left) = (rest, self.left - 1);
            return Some(first);
        }
        if first == 0 {
            return None;
        }
        (self.rest, self.left) = (rest, first.into());
        self.byte()
    }
}
