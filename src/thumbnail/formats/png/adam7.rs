//! Adam7 interlacing (PNG specification, 8.2): seven passes of pixels. The needed pixels are placed on a canvas. For
//! much smaller thumbnails they are summed in boxes instead, so the full image is never in memory.

use std::ops::Range;

use crate::raster::{Area, Depth};

/// By pass: first column, first row, column step, row step.
const PASSES: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// A row of a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    y: usize,
    /// The first column.
    x: usize,
    /// Distance between columns.
    step: usize,
    pub(super) pixels: usize,
}

impl Row {
    /// The pixels within these columns: index in the row, and column in the image.
    fn within(self, columns: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        let first = columns.start.saturating_sub(self.x).div_ceil(self.step);
        let last = columns.end.saturating_sub(self.x).div_ceil(self.step).min(self.pixels);
        (first..last).map(move |at| (at, self.x + at * self.step))
    }
}

/// The rows of all passes, in file order.
pub(super) fn rows(width: usize, height: usize) -> impl Iterator<Item = Row> {
    let passes = PASSES.into_iter().filter(move |&[x, ..]| x < width);
    passes.flat_map(move |[x, y, step, row_step]| {
        (y..height).step_by(row_step).map(move |y| Row { y, x, step, pixels: (width - x).div_ceil(step) })
    })
}

/// Pixels of an area, in the sample type of the file.
pub(super) struct Canvas {
    area: Area,
    /// Bytes per pixel.
    pixel: usize,
    bytes: Vec<u8>,
}

impl Canvas {
    /// Size of the buffer for an area.
    pub(super) fn bytes(area: &Area, pixel: usize) -> u64 {
        (area.columns.len() * area.rows.len() * pixel) as u64
    }

    /// `bytes` has the size that [`Canvas::bytes`] returns.
    pub(super) fn new(area: Area, pixel: usize, bytes: Vec<u8>) -> Self {
        Self { area, pixel, bytes }
    }

    pub(super) fn put(&mut self, row: Row, pixels: &[u8]) {
        if !self.area.rows.contains(&row.y) {
            return;
        }
        let stride = self.area.columns.len() * self.pixel;
        let line = &mut self.bytes[(row.y - self.area.rows.start) * stride..][..stride];
        for (at, x) in row.within(self.area.columns.clone()) {
            let place = (x - self.area.columns.start) * self.pixel;
            line[place..place + self.pixel].copy_from_slice(&pixels[at * self.pixel..][..self.pixel]);
        }
    }

    /// The rows of the area from the top.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact((self.area.columns.len() * self.pixel).max(1))
    }
}

/// Sums of square boxes of pixels, colours multiplied by alpha.
pub(super) struct Boxes {
    /// Side of a box in pixels.
    side: usize,
    /// The boxes that are needed.
    area: Area,
    channels: usize,
    depth: Depth,
    alpha: bool,
    sums: Vec<f32>,
}

impl Boxes {
    pub(super) fn new(side: usize, area: Area, channels: usize, depth: Depth, alpha: bool) -> Self {
        let sums = vec![0.0; area.columns.len() * area.rows.len() * channels];
        Self { side, area, channels, depth, alpha, sums }
    }

    pub(super) fn put(&mut self, row: Row, pixels: &[u8]) {
        match self.channels {
            1 => self.add::<1>(row, pixels),
            2 => self.add::<2>(row, pixels),
            3 => self.add::<3>(row, pixels),
            _ => self.add::<4>(row, pixels),
        }
    }

    fn add<const N: usize>(&mut self, row: Row, pixels: &[u8]) {
        let (y, Area { columns, rows }) = (row.y / self.side, &self.area);
        if !rows.contains(&y) {
            return;
        }
        let stride = columns.len() * N;
        let line = &mut self.sums[(y - rows.start) * stride..][..stride];
        let sums = line.as_chunks_mut::<N>().0;
        let pixel = N * self.depth.bytes();
        for (at, x) in row.within(columns.start * self.side..columns.end * self.side) {
            let mut samples = samples::<N>(&pixels[at * pixel..][..pixel], self.depth);
            if self.alpha {
                let alpha = samples[N - 1];
                samples[..N - 1].iter_mut().for_each(|colour| *colour *= alpha);
            }
            for (sum, sample) in sums[x / self.side - columns.start].iter_mut().zip(samples) {
                *sum += sample;
            }
        }
    }

    /// The means of each row of boxes, for an image of this size.
    pub(super) fn rows(&self, width: usize, height: usize) -> impl Iterator<Item = Vec<u8>> {
        let covered = move |at: usize, max: usize| ((at + 1) * self.side).min(max) - at * self.side;
        let stride = self.area.columns.len() * self.channels;
        self.area.rows.clone().zip(self.sums.chunks_exact(stride.max(1))).map(move |(y, sums)| {
            let columns = self.area.columns.clone().zip(sums.chunks_exact(self.channels));
            let means = columns.flat_map(|(x, sums)| {
                let scale = 1.0 / (covered(x, width) * covered(y, height)) as f32;
                sums.iter().map(move |sum| sum * scale)
            });
            means.flat_map(f32::to_ne_bytes).collect()
        })
    }
}

/// The channels of a pixel from 0 to 1; PNG samples are big-endian.
fn samples<const N: usize>(pixel: &[u8], depth: Depth) -> [f32; N] {
    std::array::from_fn(|channel| match depth {
        Depth::U16 => f32::from(u16::from_be_bytes([pixel[channel * 2], pixel[channel * 2 + 1]])) / 65535.0,
        _ => f32::from(pixel[channel]) / 255.0,
    })
}
