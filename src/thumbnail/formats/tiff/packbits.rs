//! PackBits (TIFF 6.0, section 9).

use std::borrow::Cow;
use std::io::{self, Read};

use super::rows::Decompressor;
use crate::error::Error;

/// Decompresses strips or tiles. Runs can extend over rows.
pub(super) struct PackBitsReader<'a> {
    bytes: Cow<'a, [u8]>,
    /// Index of the next byte.
    at: usize,
    /// The rest of the current run.
    run: Run,
}

enum Run {
    Literal(usize),
    Repeat(usize, u8),
}

impl PackBitsReader<'_> {
    /// A reader without a strip or tile yet.
    pub(super) fn new() -> Self {
        Self { bytes: Cow::default(), at: 0, run: Run::Literal(0) }
    }

    /// The next run, or `None` at the end of the data.
    fn next_run(&mut self) -> Option<Run> {
        loop {
            let count = self.bytes.get(self.at)?.cast_signed();
            self.at += 1;
            match count {
                0.. => return Some(Run::Literal(count as usize + 1)),
                i8::MIN => {}
                _ => {
                    let byte = *self.bytes.get(self.at)?;
                    self.at += 1;
                    return Some(Run::Repeat((1 - isize::from(count)) as usize, byte));
                }
            }
        }
    }
}

impl Read for PackBitsReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.run, Run::Literal(0) | Run::Repeat(0, _)) {
            let Some(run) = self.next_run() else { return Ok(0) };
            self.run = run;
        }
        Ok(match &mut self.run {
            Run::Literal(left) => {
                let source = self.bytes.get(self.at..).unwrap_or_default();
                let count = buffer.len().min(*left).min(source.len());
                buffer[..count].copy_from_slice(&source[..count]);
                (self.at, *left) = (self.at + count, *left - count);
                count
            }
            Run::Repeat(left, byte) => {
                let count = buffer.len().min(*left);
                buffer[..count].fill(*byte);
                *left -= count;
                count
            }
        })
    }
}

impl<'a> Decompressor<'a> for PackBitsReader<'a> {
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        *self = Self { bytes, ..Self::new() };
        Ok(())
    }
}
