//! LZW (TIFF 6.0, section 13), and its older variant with the lowest bit first.

use std::borrow::Cow;
use std::io::{self, Read};

use super::rows::Decompressor;
use crate::error::Error;

const CLEAR: usize = 256;
const END: usize = 257;
const FIRST_FREE: usize = 258;
const MIN_WIDTH: u32 = 9;
const MAX_WIDTH: u32 = 12;
const MAX_CODES: usize = 1 << MAX_WIDTH;

/// Decompresses strips or tiles. The end of the data without an end code counts as the end.
pub(super) struct LzwReader<'a> {
    bytes: Cow<'a, [u8]>,
    /// Index of the next byte.
    at: usize,
    /// Bits that are read from the bytes and not used yet.
    bits: u64,
    bit_count: u32,
    /// Written by early programs: the lowest bit first, and wider codes one code later.
    is_old: bool,
    width: u32,
    codes: Box<[StringEntry; MAX_CODES]>,
    /// The number of codes, with those that are reserved.
    code_count: usize,
    previous: Option<usize>,
    /// Decoded bytes that did not fit into the caller's buffer, and how many of them the caller has read since.
    pending: Vec<u8>,
    pending_read: usize,
}

/// A string: that of another code and one byte more.
#[derive(Clone, Copy, Default)]
struct StringEntry {
    prefix: u16,
    length: u16,
    first: u8,
    last: u8,
}

impl LzwReader<'_> {
    /// A reader without a strip or tile yet.
    pub(super) fn new() -> Self {
        let mut codes = Box::new([StringEntry::default(); MAX_CODES]);
        for (code, byte) in codes.iter_mut().zip(0..=u8::MAX) {
            *code = StringEntry { prefix: 0, length: 1, first: byte, last: byte };
        }
        Self {
            bytes: Cow::default(),
            at: 0,
            bits: 0,
            bit_count: 0,
            is_old: false,
            width: MIN_WIDTH,
            codes,
            code_count: FIRST_FREE,
            previous: None,
            pending: Vec::new(),
            pending_read: 0,
        }
    }

    fn next_code(&mut self) -> Option<usize> {
        while self.bit_count < self.width {
            let byte = u64::from(*self.bytes.get(self.at)?);
            self.at += 1;
            self.bits = if self.is_old { self.bits | byte << self.bit_count } else { self.bits << 8 | byte };
            self.bit_count += 8;
        }
        self.bit_count -= self.width;
        let mask = (1 << self.width) - 1;
        if self.is_old {
            let code = self.bits & mask;
            self.bits >>= self.width;
            return Some(code as usize);
        }
        Some((self.bits >> self.bit_count & mask) as usize)
    }

    /// The code of the next string, or `None` at the end of the data.
    fn next_string(&mut self) -> io::Result<Option<usize>> {
        loop {
            let code = match self.next_code() {
                None | Some(END) => return Ok(None),
                Some(CLEAR) => {
                    (self.width, self.code_count, self.previous) = (MIN_WIDTH, FIRST_FREE, None);
                    continue;
                }
                Some(code) => code,
            };
            let invalid = || io::Error::new(io::ErrorKind::InvalidData, "an invalid LZW code");
            let Some(previous) = self.previous.replace(code) else {
                return if code < CLEAR { Ok(Some(code)) } else { Err(invalid()) };
            };
            if self.code_count < MAX_CODES {
                // A code can name the string that it defines.
                let source = if code == self.code_count { previous } else { code };
                let StringEntry { first, length, .. } = self.codes[previous];
                let last = self.codes[source].first;
                self.codes[self.code_count] = StringEntry { prefix: previous as u16, length: length + 1, first, last };
                self.code_count += 1;
                let widened = self.code_count + usize::from(!self.is_old) >= 1 << self.width;
                if widened && self.width < MAX_WIDTH {
                    self.width += 1;
                }
            }
            return if code < self.code_count { Ok(Some(code)) } else { Err(invalid()) };
        }
    }

    /// Writes the string of a code; the target has its length.
    fn write(codes: &[StringEntry; MAX_CODES], mut code: usize, target: &mut [u8]) {
        for byte in target.iter_mut().rev() {
            *byte = codes[code].last;
            code = codes[code].prefix.into();
        }
    }
}

impl Read for LzwReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut written = 0;
        loop {
            let rest = &mut buffer[written..];
            let pending = &self.pending[self.pending_read..];
            let count = pending.len().min(rest.len());
            rest[..count].copy_from_slice(&pending[..count]);
            self.pending_read += count;
            written += count;
            if written == buffer.len() {
                return Ok(written);
            }
            let Some(code) = self.next_string()? else { return Ok(written) };
            let (length, rest) = (usize::from(self.codes[code].length), &mut buffer[written..]);
            if let Some(target) = rest.get_mut(..length) {
                Self::write(&self.codes, code, target);
                written += length;
            } else {
                self.pending.resize(length, 0);
                Self::write(&self.codes, code, &mut self.pending);
                self.pending_read = 0;
            }
        }
    }
}

impl<'a> Decompressor<'a> for LzwReader<'a> {
    /// Keeps the codes: those that are not defined again are not used.
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        // The first code is 256: nine bits, so that its first byte is 0 only with the lowest bit first.
        self.is_old = matches!(*bytes, [0, second, ..] if second & 1 == 1);
        (self.bytes, self.at, self.bits, self.bit_count) = (bytes, 0, 0, 0);
        (self.width, self.code_count, self.previous) = (MIN_WIDTH, FIRST_FREE, None);
        self.pending.clear();
        self.pending_read = 0;
        Ok(())
    }
}
