//! Input of the decoder: a file in memory, or a file of which only a sliding buffer is held.

use std::io::{self, Read, SeekFrom};

use super::super::codec::ReadSeek;
use crate::error::Error;

/// Bytes available from the requested offset on, unless the file ends earlier: more than a segment (B.1.1.4), and more
/// than a batch of [`BLOCKS_PER_BATCH`](super::bit_reader::BLOCKS_PER_BATCH) blocks takes.
pub(super) const LOOKAHEAD_BYTES: usize = 66 << 10;

/// Capacity of the buffer, small enough to stay in the CPU cache.
const BUFFER_BYTES: usize = 4 * LOOKAHEAD_BYTES;

/// Random access to the bytes of a file.
pub(super) enum Source<'a> {
    Memory(&'a [u8]),
    File(SlidingBuffer<'a>),
}

/// The part of a file that is in memory.
pub(super) struct SlidingBuffer<'a> {
    file: &'a mut dyn ReadSeek,
    /// File offset of the first buffered byte.
    start: usize,
    bytes: Vec<u8>,
    /// Whether the buffer extends to the end of the file.
    at_eof: bool,
}

impl<'a> Source<'a> {
    pub(super) fn file(file: &'a mut dyn ReadSeek) -> Self {
        Self::File(SlidingBuffer { file, start: 0, bytes: Vec::new(), at_eof: false })
    }

    /// The bytes from a file offset on: at least [`LOOKAHEAD_BYTES`], or all up to the end of the file.
    pub(super) fn bytes_from(&mut self, offset: usize) -> Result<&[u8], Error> {
        match self {
            Self::Memory(bytes) => Ok(bytes.get(offset..).unwrap_or_default()),
            Self::File(buffer) => buffer.bytes_from(offset).map_err(|source| Error::Read { source }),
        }
    }
}

impl Source<'_> {
    /// Finds the next marker from a file offset on, moves the offset behind it, and returns its second byte. Everything
    /// before it is skipped (B.1.1.2: in data, 0xff is followed by 0 or a restart marker; a fill byte is followed by
    /// another 0xff).
    pub(super) fn next_marker(&mut self, offset: &mut usize) -> Result<u8, Error> {
        loop {
            let rest = self.bytes_from(*offset)?;
            let Some(found) = memchr::memchr(0xff, rest) else {
                if rest.is_empty() {
                    return Err(Error::Truncated);
                }
                *offset += rest.len();
                continue;
            };
            *offset += found + 1;
            let next = match rest.get(found + 1) {
                Some(&next) => next,
                None => *self.bytes_from(*offset)?.first().ok_or(Error::Truncated)?,
            };
            match next {
                0xff => {}
                0x00 => *offset += 1,
                marker => {
                    *offset += 1;
                    return Ok(marker);
                }
            }
        }
    }
}

impl SlidingBuffer<'_> {
    fn bytes_from(&mut self, offset: usize) -> io::Result<&[u8]> {
        let within = offset.checked_sub(self.start).filter(|&within| within <= self.bytes.len());
        let enough = within.is_some_and(|within| self.at_eof || self.bytes.len() - within >= LOOKAHEAD_BYTES);
        if !enough {
            // Earlier bytes are no longer needed.
            self.bytes.drain(..within.unwrap_or(self.bytes.len()));
            self.start = offset;
            self.fill()?;
        }
        Ok(self.bytes.get(offset - self.start..).unwrap_or_default())
    }

    fn fill(&mut self) -> io::Result<()> {
        let wanted = BUFFER_BYTES - self.bytes.len();
        self.bytes.reserve_exact(wanted);
        self.file.seek(SeekFrom::Start((self.start + self.bytes.len()) as u64))?;
        let read = (&mut *self.file).take(wanted as u64).read_to_end(&mut self.bytes)?;
        self.at_eof = read < wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn reads_at_any_offset_return_the_bytes_of_the_file(
            length in prop_oneof![0..LOOKAHEAD_BYTES, LOOKAHEAD_BYTES..3 * BUFFER_BYTES],
            steps in prop::collection::vec((any::<bool>(), 0..2 * BUFFER_BYTES), 1..20),
        ) {
            let bytes: Vec<u8> = (0..length).map(|at| (at ^ at >> 8) as u8).collect();
            let mut file = Cursor::new(&bytes);
            let mut source = Source::file(&mut file);
            let mut offset = 0;
            for (jump, step) in steps {
                offset = if jump { step } else { offset + step % LOOKAHEAD_BYTES };
                let rest = bytes.get(offset..).unwrap_or_default();
                let buffered = source.bytes_from(offset).unwrap();
                prop_assert!(buffered.len() >= rest.len().min(LOOKAHEAD_BYTES));
                prop_assert!(rest.starts_with(buffered));
            }
        }
    }
}
