//! Restart intervals (ITU-T T.81, E.2.4): numbered markers between MCUs that reset the decoder.

use super::bit_reader::{BitReader, BitReaderState};
use super::source::Source;
use crate::error::Error;

/// RST0, the first of eight restart markers.
const RST0: u8 = 0xd0;

/// SOF0, the first marker that is in use; lower ones are reserved.
const SOF0: u8 = 0xc0;

/// Counts the MCUs of a scan between restart markers.
pub(super) struct RestartCounter {
    /// MCUs between two markers, or 0 without markers.
    interval: usize,
    remaining: usize,
    /// Number of the next marker.
    next_marker: u8,
    /// The column of the MCU behind a marker that does not follow immediately.
    stopped_at: Option<usize>,
}

impl RestartCounter {
    pub(super) fn new(interval: usize) -> Self {
        Self { interval, remaining: interval, next_marker: 0, stopped_at: None }
    }

    /// Counts the next MCU and returns whether a marker must precede it.
    #[inline(always)]
    pub(super) fn due(&mut self) -> bool {
        if self.interval == 0 {
            return false;
        }
        let due = self.remaining == 0;
        self.remaining = if due { self.interval } else { self.remaining } - 1;
        due
    }

    /// Counts up to `most` further MCUs that no marker precedes, and returns their number.
    pub(super) fn following(&mut self, most: usize) -> usize {
        if self.interval == 0 {
            return most;
        }
        let count = self.remaining.min(most);
        self.remaining -= count;
        count
    }

    /// Skips the marker, if it has the right number and follows immediately. Otherwise the caller stops before the MCU
    /// in this column, suspends the reader, and calls [`resync`](Self::resync).
    #[cold]
    #[inline(never)]
    pub(super) fn skip_marker<'a>(&mut self, bits: BitReader<'a>, column: usize) -> Option<BitReader<'a>> {
        let after = bits.after_marker(RST0 + self.next_marker);
        match after {
            Some(_) => self.next_marker = (self.next_marker + 1) % 8,
            None => self.stopped_at = Some(column),
        }
        after
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// If the caller stopped, moves the reader to the next interval and returns the column to continue in.
    #[inline(always)]
    pub(super) fn resync(&mut self, state: &mut BitReaderState, source: &mut Source) -> Result<Option<usize>, Error> {
        let Some(column) = self.stopped_at.take() else { return Ok(None) };
        *state = self.next_interval(state, source)?;
        Ok(Some(column))
    }

    /// Finds the marker behind stray bytes, which some webcams and scanners write, and starts the interval. Accepts the
    /// markers for which libjpeg continues without losing an MCU (`jpeg_resync_to_restart`): it skips reserved markers
    /// and the two previous restart markers, takes the two next ones for a sign that an interval is missing, and any
    /// other for the expected one.
    #[cold]
    #[inline(never)]
    fn next_interval(&mut self, state: &BitReaderState, source: &mut Source) -> Result<BitReaderState, Error> {
        let mut offset = state.loaded_end();
        loop {
            let marker = source.next_marker(&mut offset)?;
            let ahead = match marker {
                ..SOF0 => continue,
                RST0..=0xd7 => (marker - RST0).wrapping_sub(self.next_marker) % 8,
                _ => return Err(Error::corrupt("a missing restart marker")),
            };
            match ahead {
                6 | 7 => {}
                1 | 2 => return Err(Error::corrupt("a missing restart interval")),
                _ => break,
            }
        }
        // The MCU behind the marker is counted again.
        self.remaining = self.interval;
        self.next_marker = (self.next_marker + 1) % 8;
        Ok(BitReaderState::new(offset))
    }
}
