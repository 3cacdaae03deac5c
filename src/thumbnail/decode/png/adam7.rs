//! The pixels of an interlaced PNG, which come in seven passes (PNG specification, 8.2). Those that are needed are put in
//! their places; where a thumbnail is much smaller, they are added up in boxes, so that the picture is never held whole.

use std::ops::Range;

use crate::thumbnail::decode::{Area, Depth};

/// Of each pass the first column and row, and how many columns and rows lie apart.
const PASSES: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// Where the pixels of a pass's row lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    y: usize,
    /// The first column.
    x: usize,
    /// How many columns lie apart.
    step: usize,
    pub(super) pixels: usize,
}

impl Row {
    /// Those of its pixels that lie in these columns: how many come before them, and in which column they lie.
    fn within(self, columns: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        let first = columns.start.saturating_sub(self.x).div_ceil(self.step);
        let last = columns.end.saturating_sub(self.x).div_ceil(self.step).min(self.pixels);
        (first..last).map(move |at| (at, self.x + at * self.step))
    }
}

/// The rows of all passes, in the order in which they come.
pub(super) fn rows(width: usize, height: usize) -> impl Iterator<Item = Row> {
    let passes = PASSES.into_iter().filter(move |&[x, ..]| x < width);
    passes.flat_map(move |[x, y, step, apart]| {
        (y..height).step_by(apart).map(move |y| Row { y, x, step, pixels: (width - x).div_ceil(step) })
    })
}

/// A part of a picture, as it is stored.
pub(super) struct Canvas {
    area: Area,
    /// Bytes of a pixel.
    pixel: usize,
    bytes: Vec<u8>,
}

impl Canvas {
    /// How many bytes the pixels of this area have.
    pub(super) fn bytes(area: &Area, pixel: usize) -> u64 {
        (area.across.len() * area.down.len() * pixel) as u64
    }

    /// `bytes` is to have as many of them.
    pub(super) fn new(area: Area, pixel: usize, bytes: Vec<u8>) -> Self {
        Self { area, pixel, bytes }
    }

    pub(super) fn put(&mut self, row: Row, pixels: &[u8]) {
        if !self.area.down.contains(&row.y) {
            return;
        }
        let stride = self.area.across.len() * self.pixel;
        let line = &mut self.bytes[(row.y - self.area.down.start) * stride..][..stride];
        for (at, x) in row.within(self.area.across.clone()) {
            let place = (x - self.area.across.start) * self.pixel;
            line[place..place + self.pixel].copy_from_slice(&pixels[at * self.pixel..][..self.pixel]);
        }
    }

    /// The rows of the area, from its top.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact((self.area.across.len() * self.pixel).max(1))
    }
}

/// The sums of square boxes of pixels, colours multiplied by alpha.
pub(super) struct Boxes {
    /// Pixels of a box's side.
    side: usize,
    /// Those boxes that are kept.
    area: Area,
    channels: usize,
    depth: Depth,
    alpha: bool,
    sums: Vec<f32>,
}

impl Boxes {
    pub(super) fn new(side: usize, area: Area, channels: usize, depth: Depth, alpha: bool) -> Self {
        let sums = vec![0.0; area.across.len() * area.down.len() * channels];
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
        let (y, Area { across, down }) = (row.y / self.side, &self.area);
        if !down.contains(&y) {
            return;
        }
        let stride = across.len() * N;
        let line = &mut self.sums[(y - down.start) * stride..][..stride];
        let sums = line.as_chunks_mut::<N>().0;
        let pixel = N * self.depth.bytes();
        for (at, x) in row.within(across.start * self.side..across.end * self.side) {
            let mut numbers = numbers::<N>(&pixels[at * pixel..][..pixel], self.depth);
            if self.alpha {
                let alpha = numbers[N - 1];
                numbers[..N - 1].iter_mut().for_each(|colour| *colour *= alpha);
            }
            for (sum, number) in sums[x / self.side - across.start].iter_mut().zip(numbers) {
                *sum += number;
            }
        }
    }

    /// The means of each row of boxes in the area, of a picture of this size.
    pub(super) fn rows(&self, width: usize, height: usize) -> impl Iterator<Item = Vec<u8>> {
        let covered = move |at: usize, most: usize| ((at + 1) * self.side).min(most) - at * self.side;
        let stride = self.area.across.len() * self.channels;
        self.area.down.clone().zip(self.sums.chunks_exact(stride.max(1))).map(move |(y, sums)| {
            let columns = self.area.across.clone().zip(sums.chunks_exact(self.channels));
            let means = columns.flat_map(|(x, sums)| {
                let share = 1.0 / (covered(x, width) * covered(y, height)) as f32;
                sums.iter().map(move |sum| sum * share)
            });
            means.flat_map(f32::to_ne_bytes).collect()
        })
    }
}

/// A pixel's channels from 0 to 1; PNG's numbers begin with their high byte.
fn numbers<const N: usize>(pixel: &[u8], depth: Depth) -> [f32; N] {
    std::array::from_fn(|channel| match depth {
        Depth::U16 => f32::from(u16::from_be_bytes([pixel[channel * 2], pixel[channel * 2 + 1]])) / 65535.0,
        _ => f32::from(pixel[channel]) / 255.0,
    })
}
