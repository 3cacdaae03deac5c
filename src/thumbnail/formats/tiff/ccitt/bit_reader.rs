//! Bits of CCITT data, the highest first.

use std::borrow::Cow;

use crate::error::Error;

/// Zeros before the one at the end of an end-of-line code.
const END_OF_LINE_ZEROS: usize = 11;

pub(super) struct BitReader<'a> {
    bytes: Cow<'a, [u8]>,
    /// Index of the next bit.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: Cow<'a, [u8]>) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next bits, at most 16, without using them; zeros beyond the end.
    pub(super) fn peek(&self, count: u32) -> u32 {
        let first = self.at / 8;
        let word = match self.bytes.get(first..first + 4) {
            Some(bytes) => bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte)),
            None => (first..first + 4)
                .fold(0, |word, at| word << 8 | u32::from(self.bytes.get(at).copied().unwrap_or_default())),
        };
        word << (self.at % 8) >> (32 - count)
    }

    /// Fails beyond the end.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), Error> {
        self.at += count;
        if self.at > self.bytes.len() * 8 { Err(Error::Truncated) } else { Ok(()) }
    }

    /// The next bits, at most 16; zeros beyond the end.
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let bits = self.peek(count);
        self.at += count as usize;
        bits
    }

    /// Continues at the next multiple of so many bits.
    pub(super) fn align(&mut self, bits: usize) {
        self.at = self.at.next_multiple_of(bits);
    }

    /// Whether only zeros follow.
    pub(super) fn is_at_end(&self) -> bool {
        self.zeros() == (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// Skips an end-of-line code with the fill bits before it, if one is next.
    pub(super) fn skip_end_of_line(&mut self) -> bool {
        if self.peek(END_OF_LINE_ZEROS as u32) != 0 {
            return false;
        }
        let zeros = self.zeros();
        let found = self.at + zeros < self.bytes.len() * 8;
        if found {
            self.at += zeros + 1;
        }
        found
    }

    /// Skips everything before the fill bits of the next end-of-line code. Returns whether there is one.
    pub(super) fn seek_end_of_line(&mut self) -> bool {
        let end = self.bytes.len() * 8;
        while self.at < end {
            let zeros = self.zeros();
            if zeros >= END_OF_LINE_ZEROS {
                return self.at + zeros < end;
            }
            self.at += zeros + 1;
        }
        false
    }

    /// The number of zeros that follow.
    fn zeros(&self) -> usize {
        let end = self.bytes.len() * 8;
        let mut zeros = 0;
        while self.at + zeros < end {
            let (byte, bit) = ((self.at + zeros) / 8, (self.at + zeros) % 8);
            let leading = (self.bytes[byte] << bit).leading_zeros() as usize;
            if leading + bit < 8 {
                return zeros + leading;
            }
            zeros += 8 - bit;
        }
        zeros
    }
}
