//! Resize of one plane to one target. Source rows are added, weighted, to the target rows that they contribute to;
//! finished rows are then resized horizontally.
//!
//! Both passes are plain loops over `f32` that the compiler vectorises: the vertical pass along the row, the horizontal
//! pass over several rows at once, which are interleaved for that.

use std::collections::VecDeque;
use std::ops::Range;

use super::grid::Taps;

/// Rows that are added together, so that the sums are loaded and stored once for all of them.
pub(super) const BATCH: usize = 4;

/// Samples of a row that are processed at a time, so that the batch stays in the L1 cache.
const BLOCK: usize = 1024;

/// Rows of one plane, as samples from 0 to 1, that are not added yet.
pub(super) struct Batch {
    pub(super) lines: [Vec<f32>; BATCH],
    /// Number of lines in use.
    pub(super) filled: usize,
    /// Source row of the first line.
    pub(super) row: usize,
    /// Source column where the lines start.
    pub(super) column: usize,
}

/// Receives the source rows in order and produces the samples of the target.
pub(super) struct Resizer {
    columns: Taps,
    rows: Taps,
    channels: usize,
    /// The source columns that the target needs.
    needed_columns: Range<usize>,
    /// Sums of the target rows from `finished_rows` on.
    sums: VecDeque<Vec<f32>>,
    /// Buffers to reuse.
    free_rows: Vec<Vec<f32>>,
    finished_rows: usize,
    /// Finished sums, interleaved: for each column all rows, for each row all channels.
    interleaved: Vec<f32>,
    /// Number of rows in `interleaved`.
    pending: usize,
    /// Number of rows in `samples`.
    written: usize,
    samples: Vec<f32>,
}

impl Resizer {
    pub(super) fn new(columns: Taps, rows: Taps, channels: usize) -> Self {
        let needed_columns = columns.span();
        let interleaved = vec![0.0; needed_columns.len() * channels * rows_per_pass(channels)];
        let samples = vec![0.0; columns.len() * rows.len() * channels];
        Self {
            columns,
            rows,
            channels,
            needed_columns,
            sums: VecDeque::new(),
            free_rows: Vec::new(),
            finished_rows: 0,
            interleaved,
            pending: 0,
            written: 0,
            samples,
        }
    }

    /// The source columns that the target needs.
    pub(super) fn needed_columns(&self) -> Range<usize> {
        self.needed_columns.clone()
    }

    /// The source rows that the target needs.
    pub(super) fn needed_rows(&self) -> Range<usize> {
        self.rows.span()
    }

    /// All samples, or `None` if source rows are missing.
    pub(super) fn finish(mut self) -> Option<Vec<f32>> {
        self.resize_horizontally();
        (self.finished_rows == self.rows.len()).then_some(self.samples)
    }

    /// Adds the batch to the sums that it contributes to, and resizes the rows that are complete.
    pub(super) fn add(&mut self, batch: &Batch) {
        let end = batch.row + batch.filled;
        let start = (self.needed_columns.start - batch.column) * self.channels;
        let length = self.needed_columns.len() * self.channels;
        while self.finished_rows + self.sums.len() < self.rows.len()
            && self.rows.range(self.finished_rows + self.sums.len()).start < end
        {
            let mut sum = self.free_rows.pop().unwrap_or_default();
            sum.clear();
            sum.resize(length, 0.0);
            self.sums.push_back(sum);
        }
        for block in (0..length).step_by(BLOCK).map(|from| from..(from + BLOCK).min(length)) {
            let lines = batch.lines.each_ref().map(|line| &line[start + block.start..start + block.end]);
            for (sum, row) in self.sums.iter_mut().zip(self.finished_rows..) {
                let (first, weights) = self.rows.weights(row);
                let weights = std::array::from_fn(|line| match (batch.row + line).checked_sub(first) {
                    Some(tap) if line < batch.filled => weights.get(tap).copied().unwrap_or(0.0),
                    _ => 0.0,
                });
                add_weighted(&mut sum[block.clone()], lines, weights);
            }
        }
        while self.finished_rows < self.rows.len() && self.rows.range(self.finished_rows).end <= end {
            let Some(sum) = self.sums.pop_front() else { break };
            self.interleave(&sum);
            self.free_rows.push(sum);
            self.finished_rows += 1;
        }
    }

    fn interleave(&mut self, sum: &[f32]) {
        match self.channels {
            1 => self.interleave_channels::<1>(sum),
            2 => self.interleave_channels::<2>(sum),
            3 => self.interleave_channels::<3>(sum),
            4 => self.interleave_channels::<4>(sum),
            _ => self.interleave_channels::<5>(sum),
        }
        self.pending += 1;
        if self.pending == rows_per_pass(self.channels) {
            self.resize_horizontally();
        }
    }

    fn interleave_channels<const N: usize>(&mut self, sum: &[f32]) {
        let places = self.interleaved.as_chunks_mut::<N>().0.iter_mut().skip(self.pending).step_by(rows_per_pass(N));
        for (place, pixel) in places.zip(sum.as_chunks::<N>().0) {
            *place = *pixel;
        }
    }

    /// Resizes the pending rows horizontally.
    fn resize_horizontally(&mut self) {
        match self.channels {
            1 => self.resize_rows::<1, { rows_per_pass(1) }>(),
            2 => self.resize_rows::<2, { 2 * rows_per_pass(2) }>(),
            3 => self.resize_rows::<3, { 3 * rows_per_pass(3) }>(),
            4 => self.resize_rows::<4, { 4 * rows_per_pass(4) }>(),
            _ => self.resize_rows::<5, { 5 * rows_per_pass(5) }>(),
        }
        self.written += self.pending;
        self.pending = 0;
    }

    /// `L` is `N` channels times the rows that are resized at once.
    fn resize_rows<const N: usize, const L: usize>(&mut self) {
        let columns = self.interleaved.as_chunks::<L>().0;
        let width = self.columns.len();
        for target in 0..width {
            let (first, weights) = self.columns.weights(target);
            let mut pixels = [0.0_f32; L];
            for (weight, source) in weights.iter().zip(&columns[first - self.needed_columns.start..]) {
                for (pixel, sample) in pixels.iter_mut().zip(source) {
                    *pixel += weight * sample;
                }
            }
            for (row, pixel) in (self.written..self.written + self.pending).zip(pixels.as_chunks::<N>().0) {
                let at = (row * width + target) * N;
                self.samples[at..at + N].copy_from_slice(pixel);
            }
        }
    }
}

/// Rows of a plane that are resized horizontally at once, so that their samples fill a few vectors.
const fn rows_per_pass(channels: usize) -> usize {
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
