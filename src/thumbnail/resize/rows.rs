//! One plane's way to one target: rows are added, weighted, to the few target rows that they have a share in, and what
//! is finished is resized across.
//!
//! Both passes are plain loops over `f32` that the compiler turns into vector code: the first along the row, the second
//! over several rows at once, which for that lie interleaved.

use std::collections::VecDeque;
use std::ops::Range;

use super::grid::Taps;

/// How many rows are added in one go: the sums are then loaded and stored once for all of them.
pub(super) const BATCH: usize = 4;

/// Samples of a row that are worked on at once, so that the batch stays in the nearest cache.
const BLOCK: usize = 1024;

/// Rows of one plane as numbers from 0 to 1, waiting to be added.
pub(super) struct Batch {
    pub(super) lines: [Vec<f32>; BATCH],
    /// How many of the lines are filled.
    pub(super) filled: usize,
    /// The row that the first line is.
    pub(super) row: usize,
    /// The column that the lines begin with.
    pub(super) column: usize,
}

/// Takes the source's rows in order and gives the target's samples.
pub(super) struct Resizer {
    columns: Taps,
    rows: Taps,
    channels: usize,
    /// The source columns that any target pixel needs.
    across: Range<usize>,
    /// Sums of the target rows from `done` on.
    sums: VecDeque<Vec<f32>>,
    spare: Vec<Vec<f32>>,
    done: usize,
    /// Finished sums, interleaved: of each column all rows, of each row all channels.
    together: Vec<f32>,
    waiting: usize,
    /// Rows in `samples`.
    written: usize,
    samples: Vec<f32>,
}

impl Resizer {
    pub(super) fn new(columns: Taps, rows: Taps, channels: usize) -> Self {
        let across = columns.span();
        let together = vec![0.0; across.len() * channels * at_once(channels)];
        let samples = vec![0.0; columns.len() * rows.len() * channels];
        let (sums, spare) = (VecDeque::new(), Vec::new());
        Self { columns, rows, channels, across, sums, spare, done: 0, together, waiting: 0, written: 0, samples }
    }

    /// The source columns that are needed.
    pub(super) fn across(&self) -> Range<usize> {
        self.across.clone()
    }

    /// The source rows that are needed.
    pub(super) fn down(&self) -> Range<usize> {
        self.rows.span()
    }

    /// All samples, if all rows came.
    pub(super) fn finish(mut self) -> Option<Vec<f32>> {
        self.resize_across();
        (self.done == self.rows.len()).then_some(self.samples)
    }

    /// Adds the batch to the sums that it has a share in, and finishes the rows that are complete.
    pub(super) fn add(&mut self, batch: &Batch) {
        let end = batch.row + batch.filled;
        let start = (self.across.start - batch.column) * self.channels;
        let length = self.across.len() * self.channels;
        while self.done + self.sums.len() < self.rows.len() && self.rows.range(self.done + self.sums.len()).start < end
        {
            let mut sum = self.spare.pop().unwrap_or_default();
            sum.clear();
            sum.resize(length, 0.0);
            self.sums.push_back(sum);
        }
        for block in (0..length).step_by(BLOCK).map(|from| from..(from + BLOCK).min(length)) {
            let lines = batch.lines.each_ref().map(|line| &line[start + block.start..start + block.end]);
            for (sum, row) in self.sums.iter_mut().zip(self.done..) {
                let (first, weights) = self.rows.of(row);
                let weights = std::array::from_fn(|line| match (batch.row + line).checked_sub(first) {
                    Some(tap) if line < batch.filled => weights.get(tap).copied().unwrap_or(0.0),
                    _ => 0.0,
                });
                add_weighted(&mut sum[block.clone()], lines, weights);
            }
        }
        while self.done < self.rows.len() && self.rows.range(self.done).end <= end {
            let Some(sum) = self.sums.pop_front() else { break };
            self.interleave(&sum);
            self.spare.push(sum);
            self.done += 1;
        }
    }

    fn interleave(&mut self, sum: &[f32]) {
        match self.channels {
            1 => self.interleave_channels::<1>(sum),
            2 => self.interleave_channels::<2>(sum),
            3 => self.interleave_channels::<3>(sum),
            _ => self.interleave_channels::<4>(sum),
        }
        self.waiting += 1;
        if self.waiting == at_once(self.channels) {
            self.resize_across();
        }
    }

    fn interleave_channels<const N: usize>(&mut self, sum: &[f32]) {
        let places = self.together.as_chunks_mut::<N>().0.iter_mut().skip(self.waiting).step_by(at_once(N));
        for (place, pixel) in places.zip(sum.as_chunks::<N>().0) {
            *place = *pixel;
        }
    }

    /// Resizes the waiting rows across.
    fn resize_across(&mut self) {
        match self.channels {
            1 => self.across_rows::<1, { at_once(1) }>(),
            2 => self.across_rows::<2, { 2 * at_once(2) }>(),
            3 => self.across_rows::<3, { 3 * at_once(3) }>(),
            _ => self.across_rows::<4, { 4 * at_once(4) }>(),
        }
        self.written += self.waiting;
        self.waiting = 0;
    }

    /// `L` is `N` channels of each of the rows that are resized at once.
    fn across_rows<const N: usize, const L: usize>(&mut self) {
        let columns = self.together.as_chunks::<L>().0;
        let width = self.columns.len();
        for target in 0..width {
            let (first, weights) = self.columns.of(target);
            let mut pixels = [0.0_f32; L];
            for (weight, source) in weights.iter().zip(&columns[first - self.across.start..]) {
                for (pixel, sample) in pixels.iter_mut().zip(source) {
                    *pixel += weight * sample;
                }
            }
            for (row, pixel) in (self.written..self.written + self.waiting).zip(pixels.as_chunks::<N>().0) {
                let at = (row * width + target) * N;
                self.samples[at..at + N].copy_from_slice(pixel);
            }
        }
    }
}

/// How many rows of a plane are resized across together, so that their samples fill a few vectors.
const fn at_once(channels: usize) -> usize {
    match channels {
        1 => 8,
        4 => 2,
        _ => 4,
    }
}

fn add_weighted(sum: &mut [f32], lines: [&[f32]; BATCH], weights: [f32; BATCH]) {
    if weights == [0.0; BATCH] {
        return;
    }
    let [a, b, c, d] = lines.map(|line| &line[..sum.len()]);
    for at in 0..sum.len() {
        sum[at] += weights[0] * a[at] + weights[1] * b[at] + weights[2] * c[at] + weights[3] * d[at];
    }
}
