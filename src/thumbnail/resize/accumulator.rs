//! Accumulates the rows of one plane for all targets. Where the targets are much smaller, boxes of samples are averaged
//! first.

use std::ops::Range;

use super::grid::{Grid, Taps};
use super::resizer::{BATCH, Batch, Resizer};
use crate::raster::{Area, Depth, Layout, Plane};

/// Minimum number of box averages per target pixel in each direction; at two, the blur of the boxes is not visible
/// after Lanczos.
const MIN_SAMPLES_PER_PIXEL: f64 = 2.0;

/// The largest box: the sum of this many bytes fits into 16 bits.
const MAX_BOX_SIZE: usize = 256;

/// Receives the rows of one plane and produces the samples of each target.
pub(super) struct Accumulator {
    layout: Layout,
    channels: usize,
    /// Rows of the plane.
    height: usize,
    /// Width and height in samples of the averaged boxes, or 1.
    box_size: usize,
    /// The columns of the plane that are needed, in whole boxes.
    columns: Range<usize>,
    /// The rows of boxes that are needed.
    box_rows: Range<usize>,
    /// Index of the next row.
    row: usize,
    sums: Sums,
    batch: Batch,
    resizers: Vec<Resizer>,
}

/// Sums of the samples of a box, per column.
enum Sums {
    Bytes(Vec<u16>),
    Floats { sums: Vec<f32>, line: Vec<f32> },
}

impl Accumulator {
    /// `targets` has the horizontal and vertical grid of each target.
    pub(super) fn new(plane: &Plane, layout: Layout, targets: &[(Grid, Grid)]) -> Self {
        let ratio =
            |&(horizontal, vertical): &(Grid, Grid)| (horizontal.step / plane.x_step).min(vertical.step / plane.y_step);
        let min_ratio = targets.iter().map(ratio).fold(f64::INFINITY, f64::min);
        let box_size = ((min_ratio / MIN_SAMPLES_PER_PIXEL) as usize).clamp(1, MAX_BOX_SIZE);
        // A last box of less than half its size is dropped.
        let boxes = |samples: usize| ((samples + box_size / 2) / box_size).max(1);
        let taps = |grid: &Grid, samples, step| Taps::new(*grid, boxes(samples), step * box_size as f64);
        let resizers: Vec<Resizer> = targets
            .iter()
            .map(|(horizontal, vertical)| {
                let columns = taps(horizontal, plane.width, plane.x_step);
                Resizer::new(columns, taps(vertical, plane.height, plane.y_step), plane.channels)
            })
            .collect();
        let box_columns = hull(resizers.iter().map(Resizer::needed_columns));
        let box_rows = hull(resizers.iter().map(Resizer::needed_rows));
        let columns = box_columns.start * box_size..(box_columns.end * box_size).min(plane.width);
        let length = columns.len() * plane.channels;
        let sums = match layout {
            Layout { depth: Depth::U8, multiply: false } => Sums::Bytes(vec![0; length]),
            _ => Sums::Floats { sums: vec![0.0; length], line: vec![0.0; length] },
        };
        let lines = [(); BATCH].map(|()| vec![0.0; box_columns.len() * plane.channels]);
        let batch = Batch { lines, filled: 0, row: box_rows.start, column: box_columns.start };
        let (channels, height) = (plane.channels, plane.height);
        Self { layout, channels, height, box_size, columns, box_rows, row: 0, sums, batch, resizers }
    }

    /// Adds the next row of the plane, at its full width.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (row, box_row) = (self.row, self.row / self.box_size);
        self.row += 1;
        if row >= self.height || !self.box_rows.contains(&box_row) {
            return;
        }
        let sample = self.channels * self.layout.depth.bytes();
        let Some(bytes) = bytes.get(self.columns.start * sample..self.columns.end * sample) else { return };
        if self.box_size == 1 {
            self.layout.read(bytes, self.channels, &mut self.batch.lines[self.batch.filled]);
        } else {
            self.sums.add(bytes, self.layout, self.channels);
            let rows = row - box_row * self.box_size + 1;
            if rows < self.box_size && row + 1 < self.height {
                return;
            }
            let line = &mut self.batch.lines[self.batch.filled];
            self.sums.take_means(rows, self.box_size, self.channels, line);
        }
        self.batch.filled += 1;
        if self.batch.filled == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        for resizer in &mut self.resizers {
            resizer.add(&self.batch);
        }
        self.batch.row += self.batch.filled;
        self.batch.filled = 0;
    }

    /// The samples of each target, or `None` if rows are missing.
    pub(super) fn finish(mut self) -> Option<Vec<Vec<f32>>> {
        self.flush();
        self.resizers.into_iter().map(Resizer::finish).collect()
    }

    /// The columns and rows of the plane that any target needs.
    pub(super) fn needed(&self) -> Area {
        let rows = self.box_rows.start * self.box_size..(self.box_rows.end * self.box_size).min(self.height);
        Area { columns: self.columns.clone(), rows }
    }
}

/// The smallest range that contains all of them.
fn hull(ranges: impl Iterator<Item = Range<usize>>) -> Range<usize> {
    ranges.reduce(|all, range| all.start.min(range.start)..all.end.max(range.end)).unwrap_or_default()
}

impl Sums {
    fn add(&mut self, bytes: &[u8], layout: Layout, channels: usize) {
        match self {
            Self::Bytes(sums) => {
                for (sum, &byte) in sums.iter_mut().zip(bytes) {
                    *sum += u16::from(byte);
                }
            }
            Self::Floats { sums, line } => {
                layout.read(bytes, channels, line);
                for (sum, &number) in sums.iter_mut().zip(&*line) {
                    *sum += number;
                }
            }
        }
    }

    /// Writes the means of boxes with `rows` rows, and resets the sums.
    fn take_means(&mut self, rows: usize, box_size: usize, channels: usize, line: &mut [f32]) {
        match self {
            Self::Bytes(sums) => {
                means(sums, channels, box_size, 1.0 / (rows * 255) as f32, line);
                sums.fill(0);
            }
            Self::Floats { sums, .. } => {
                means(sums, channels, box_size, 1.0 / rows as f32, line);
                sums.fill(0.0);
            }
        }
    }
}

/// The scaled mean of every `box_size` pixels; the last box may be narrower.
fn means<T: Copy + Into<f32>>(sums: &[T], channels: usize, box_size: usize, scale: f32, line: &mut [f32]) {
    match channels {
        1 => means_of::<1, T>(sums, box_size, scale, line),
        2 => means_of::<2, T>(sums, box_size, scale, line),
        3 => means_of::<3, T>(sums, box_size, scale, line),
        4 => means_of::<4, T>(sums, box_size, scale, line),
        _ => means_of::<5, T>(sums, box_size, scale, line),
    }
}

fn means_of<const N: usize, T: Copy + Into<f32>>(sums: &[T], box_size: usize, scale: f32, line: &mut [f32]) {
    for (mean, pixels) in line.as_chunks_mut::<N>().0.iter_mut().zip(sums.as_chunks::<N>().0.chunks(box_size)) {
        let mut all = [0.0_f32; N];
        for pixel in pixels {
            for (sum, &sample) in all.iter_mut().zip(pixel) {
                *sum += sample.into();
            }
        }
        *mean = all.map(|sum| sum * scale / pixels.len() as f32);
    }
}

impl Layout {
    /// Converts pixels to samples from 0 to 1, colours multiplied by alpha.
    fn read(self, bytes: &[u8], channels: usize, line: &mut [f32]) {
        match self.depth {
            Depth::U8 => {
                for (sample, &byte) in line.iter_mut().zip(bytes) {
                    *sample = f32::from(byte) * (1.0 / 255.0);
                }
            }
            Depth::U16 => {
                for (sample, &bytes) in line.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *sample = f32::from(u16::from_ne_bytes(bytes)) * (1.0 / 65535.0);
                }
            }
            Depth::F32 => {
                for (sample, &bytes) in line.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    let number = f32::from_ne_bytes(bytes);
                    *sample = if number.is_nan() { 0.0 } else { number.clamp(0.0, 1.0) };
                }
            }
        }
        match (self.multiply, channels) {
            (true, 2) => multiply::<2>(line),
            (true, 4) => multiply::<4>(line),
            (true, 5) => multiply::<5>(line),
            _ => {}
        }
    }
}

/// Multiplies the colours of each pixel by its alpha, the last channel.
fn multiply<const N: usize>(line: &mut [f32]) {
    for pixel in line.as_chunks_mut::<N>().0 {
        let alpha = pixel[N - 1];
        for colour in &mut pixel[..N - 1] {
            *colour *= alpha;
        }
    }
}
