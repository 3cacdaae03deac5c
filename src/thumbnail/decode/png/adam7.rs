//! The pixels of an interlaced PNG, which come in seven passes (PNG specification, 8.2). Those that are needed are put in
//! their places; where a thumbnail is much smaller, they are added up in boxes, so that the picture is never held whole.

use std::ops::Range;

use crate::thumbnail::decode::Depth;

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

/// The rows of all passes, in the order in which they come.
pub(super) fn rows(width: usize, height: usize) -> impl Iterator<Item = Row> {
    let passes = PASSES.into_iter().filter(move |&[x, ..]| x < width);
    passes.flat_map(move |[x, y, step, apart]| {
        (y..height).step_by(apart).map(move |y| Row { y, x, step, pixels: (width - x).div_ceil(step) })
    })
}

/// Some rows of a picture, as they are stored.
pub(super) struct Canvas {
    down: Range<usize>,
    stride: usize,
    /// Bytes of a pixel.
    pixel: usize,
    bytes: Vec<u8>,
}

impl Canvas {
    /// `bytes` is to have the size of these rows.
    pub(super) fn new(down: Range<usize>, stride: usize, pixel: usize, bytes: Vec<u8>) -> Self {
        Self { down, stride, pixel, bytes }
    }

    pub(super) fn put(&mut self, row: Row, pixels: &[u8]) {
        if !self.down.contains(&row.y) {
            return;
        }
        let whole = self.bytes[(row.y - self.down.start) * self.stride..].chunks_exact_mut(self.pixel);
        for (place, pixel) in whole.skip(row.x).step_by(row.step).zip(pixels.chunks_exact(self.pixel)) {
            place.copy_from_slice(pixel);
        }
    }

    /// The rows, from the first that is kept.
    pub(super) fn rows(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.chunks_exact_mut(self.stride)
    }
}

/// The sums of square boxes of pixels, colours multiplied by alpha.
pub(super) struct Boxes {
    /// Pixels of a box's side.
    side: usize,
    /// How many lie side by side.
    across: usize,
    /// Those rows of boxes that are kept.
    down: Range<usize>,
    channels: usize,
    depth: Depth,
    alpha: bool,
    sums: Vec<f32>,
}

impl Boxes {
    pub(super) fn new(
        side: usize,
        across: usize,
        down: Range<usize>,
        channels: usize,
        depth: Depth,
        alpha: bool,
    ) -> Self {
        let sums = vec![0.0; across * down.len() * channels];
        Self { side, across, down, channels, depth, alpha, sums }
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
        let y = row.y / self.side;
        if !self.down.contains(&y) {
            return;
        }
        let line = &mut self.sums[(y - self.down.start) * self.across * N..][..self.across * N];
        let sums = line.as_chunks_mut::<N>().0;
        for (at, pixel) in pixels.chunks_exact(N * self.depth.bytes()).enumerate() {
            // The last box may be too narrow to count.
            let Some(sum) = sums.get_mut((row.x + at * row.step) / self.side) else { break };
            let mut numbers = numbers::<N>(pixel, self.depth);
            if self.alpha {
                let alpha = numbers[N - 1];
                numbers[..N - 1].iter_mut().for_each(|colour| *colour *= alpha);
            }
            for (sum, number) in sum.iter_mut().zip(numbers) {
                *sum += number;
            }
        }
    }

    /// The means of each row of boxes, of a picture of this size.
    pub(super) fn rows(&self, width: usize, height: usize) -> impl Iterator<Item = Vec<u8>> {
        let covered = move |at: usize, most: usize| ((at + 1) * self.side).min(most) - at * self.side;
        self.down.clone().zip(self.sums.chunks_exact(self.across * self.channels)).map(move |(y, sums)| {
            let means = sums.chunks_exact(self.channels).enumerate().flat_map(|(x, sums)| {
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
