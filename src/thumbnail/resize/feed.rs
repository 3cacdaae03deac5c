//! Rows of one plane as they come from a decoder, made into numbers for all targets at once; where the targets are much
//! smaller, boxes of samples are averaged first.

use std::ops::Range;

use super::grid::{Grid, Taps};
use super::rows::{BATCH, Batch, Resizer};
use crate::thumbnail::decode::{Area, Depth, Layout, Plane};

/// How many samples are left for each target pixel, at least, when boxes are averaged. Lanczos hides what a box blurs.
const KEPT: f64 = 2.0;

/// The widest box: as many bytes sum to no more than 16 bits hold.
const WIDEST: usize = 256;

/// Takes one plane's rows and gives the samples of each target.
pub(super) struct Feed {
    layout: Layout,
    channels: usize,
    /// The plane's rows.
    height: usize,
    /// How many samples across and down become one.
    boxed: usize,
    /// The plane's columns that are needed, in whole boxes.
    span: Range<usize>,
    /// The rows of boxes that are needed.
    down: Range<usize>,
    /// The next row that comes.
    row: usize,
    sums: Sums,
    batch: Batch,
    resizers: Vec<Resizer>,
}

/// Samples of the rows of a box, added up.
enum Sums {
    Bytes(Vec<u16>),
    Numbers { sums: Vec<f32>, line: Vec<f32> },
}

impl Feed {
    /// `targets` are the grids across and down of each target.
    pub(super) fn new(plane: &Plane, layout: Layout, targets: &[(Grid, Grid)]) -> Self {
        let ratios = targets.iter().map(|(across, down)| (across.step / plane.across).min(down.step / plane.down));
        let boxed = ((ratios.fold(f64::INFINITY, f64::min) / KEPT) as usize).clamp(1, WIDEST);
        // A last box of less than half its size is left out.
        let side = |samples: usize| ((samples + boxed / 2) / boxed).max(1);
        let taps = |grid: &Grid, samples, step| Taps::new(*grid, side(samples), step * boxed as f64);
        let resizers: Vec<Resizer> = targets
            .iter()
            .map(|(across, down)| {
                let columns = taps(across, plane.width, plane.across);
                Resizer::new(columns, taps(down, plane.height, plane.down), plane.channels)
            })
            .collect();
        let across = hull(resizers.iter().map(Resizer::across));
        let down = hull(resizers.iter().map(Resizer::down));
        let span = across.start * boxed..(across.end * boxed).min(plane.width);
        let length = span.len() * plane.channels;
        let sums = match layout {
            Layout { depth: Depth::U8, multiply: false } => Sums::Bytes(vec![0; length]),
            _ => Sums::Numbers { sums: vec![0.0; length], line: vec![0.0; length] },
        };
        let lines = [(); BATCH].map(|()| vec![0.0; across.len() * plane.channels]);
        let batch = Batch { lines, filled: 0, row: down.start, column: across.start };
        let (channels, height) = (plane.channels, plane.height);
        Self { layout, channels, height, boxed, span, down, row: 0, sums, batch, resizers }
    }

    /// Takes the next row, all of it.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (row, boxes) = (self.row, self.row / self.boxed);
        self.row += 1;
        if row >= self.height || !self.down.contains(&boxes) {
            return;
        }
        let sample = self.channels * self.layout.depth.bytes();
        let Some(bytes) = bytes.get(self.span.start * sample..self.span.end * sample) else { return };
        if self.boxed == 1 {
            self.layout.read(bytes, self.channels, &mut self.batch.lines[self.batch.filled]);
        } else {
            self.sums.add(bytes, self.layout, self.channels);
            let rows = row - boxes * self.boxed + 1;
            if rows < self.boxed && row + 1 < self.height {
                return;
            }
            let line = &mut self.batch.lines[self.batch.filled];
            self.sums.take(rows, self.boxed, self.channels, line);
        }
        self.batch.filled += 1;
        if self.batch.filled == BATCH {
            self.add();
        }
    }

    fn add(&mut self) {
        for resizer in &mut self.resizers {
            resizer.add(&self.batch);
        }
        self.batch.row += self.batch.filled;
        self.batch.filled = 0;
    }

    /// The samples of each target, if all rows came.
    pub(super) fn finish(mut self) -> Option<Vec<Vec<f32>>> {
        self.add();
        self.resizers.into_iter().map(Resizer::finish).collect()
    }

    /// The plane's columns and rows that any target needs.
    pub(super) fn needed(&self) -> Area {
        let down = self.down.start * self.boxed..(self.down.end * self.boxed).min(self.height);
        Area { across: self.span.clone(), down }
    }
}

/// The smallest range that holds all of them.
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
            Self::Numbers { sums, line } => {
                layout.read(bytes, channels, line);
                for (sum, &number) in sums.iter_mut().zip(&*line) {
                    *sum += number;
                }
            }
        }
    }

    /// Writes the means of the boxes, of which `rows` rows were added, and begins anew.
    fn take(&mut self, rows: usize, boxed: usize, channels: usize, line: &mut [f32]) {
        match self {
            Self::Bytes(sums) => {
                means(sums, channels, boxed, 1.0 / (rows * 255) as f32, line);
                sums.fill(0);
            }
            Self::Numbers { sums, .. } => {
                means(sums, channels, boxed, 1.0 / rows as f32, line);
                sums.fill(0.0);
            }
        }
    }
}

/// The scaled mean of every `boxed` pixels; the last box may be narrower.
fn means<T: Copy + Into<f32>>(sums: &[T], channels: usize, boxed: usize, scale: f32, line: &mut [f32]) {
    match channels {
        1 => means_of::<1, T>(sums, boxed, scale, line),
        2 => means_of::<2, T>(sums, boxed, scale, line),
        3 => means_of::<3, T>(sums, boxed, scale, line),
        _ => means_of::<4, T>(sums, boxed, scale, line),
    }
}

fn means_of<const N: usize, T: Copy + Into<f32>>(sums: &[T], boxed: usize, scale: f32, line: &mut [f32]) {
    for (mean, pixels) in line.as_chunks_mut::<N>().0.iter_mut().zip(sums.as_chunks::<N>().0.chunks(boxed)) {
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
    /// Reads pixels as numbers from 0 to 1, colours multiplied by alpha.
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
            _ => {}
        }
    }
}

/// Multiplies each pixel's colours by its alpha, the last channel.
fn multiply<const N: usize>(line: &mut [f32]) {
    for pixel in line.as_chunks_mut::<N>().0 {
        let alpha = pixel[N - 1];
        for colour in &mut pixel[..N - 1] {
            *colour *= alpha;
        }
    }
}
