//! Lanczos3 resize of rows as they come: a picture is read once, from top to bottom, and never held as floats.
//!
//! Every input row is added, weighted, to the few output rows that it has a share in; a finished one is then resized
//! across. Both passes are plain loops over slices of `f32` that the compiler turns into vector code. Alpha is
//! multiplied into the colours first, so that what is invisible has no colour to give away.

use std::collections::VecDeque;
use std::f64::consts::PI;
use std::ops::Range;

use super::Error;
use super::decode::{Depth, Picture};

/// The wanted size in pixels, both at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// Resized pixels in the model of their picture: from 0 to 1, channels interleaved, alpha not multiplied in.
pub(super) struct Pixels {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) samples: Vec<f32>,
}

/// Fills the target with the picture's centre, at its own aspect ratio.
pub(super) fn cover(picture: &Picture, target: Target) -> Result<Pixels, Error> {
    let channels = picture.model.channels();
    let alpha = picture.model.alpha();
    let (columns, rows) = crop(picture.width, picture.height, target);
    let mut resizer = Resizer::new(columns, rows, channels, alpha);
    let span = resizer.across.start * channels..resizer.across.end * channels;
    let stride = picture.width * channels * picture.depth.bytes();
    let premultiply = alpha && !picture.premultiplied;
    for row in picture.bytes.chunks_exact(stride).take(resizer.down.end).skip(resizer.down.start) {
        resizer.push(|line| {
            read(row, picture.depth, span.clone(), line);
            if premultiply {
                multiply(line, channels);
            }
        });
    }
    let samples = resizer.finish().ok_or_else(|| Error::corrupt("the decoder gives too few rows"))?;
    Ok(Pixels { width: target.width, height: target.height, samples })
}

/// The taps along both axes for the largest centred box of the target's aspect ratio; its sides need not be whole.
fn crop(width: usize, height: usize, target: Target) -> (Vec<Taps>, Vec<Taps>) {
    let ratio = |source: usize, target: usize| source as f64 / target as f64;
    let step = ratio(width, target.width).min(ratio(height, target.height));
    (taps(width, target.width, step), taps(height, target.height, step))
}

/// The share that source pixels from `first` on have in one target pixel; the weights' sum is 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Taps {
    fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

/// One axis: `target` pixels, `step` source pixels apart, centred on the source. Taps beyond the source's edge are left
/// out, and the others share their weight.
fn taps(source: usize, target: usize, step: f64) -> Vec<Taps> {
    let origin = (source as f64 - step * target as f64) / 2.0;
    let scale = step.max(1.0);
    let reach = 3.0 * scale;
    (0..target)
        .map(|index| {
            let centre = origin + (index as f64 + 0.5) * step;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).clamp(first + 1, source.max(first + 1));
            let weight = |at: usize| lanczos3((at as f64 + 0.5 - centre) / scale);
            let sum: f64 = (first..end).map(weight).sum();
            Taps { first, weights: (first..end).map(|at| (weight(at) / sum) as f32).collect() }
        })
        .collect()
}

/// The sinc function, windowed by its own main lobe stretched to three.
fn lanczos3(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

/// How many rows are added in one go: the sums are then loaded and stored once for all of them.
const BATCH: usize = 4;

/// Samples of a row that are worked on at once, so that the batch stays in the nearest cache.
const BLOCK: usize = 1024;

/// Takes the source's rows in order and gives the target's samples.
struct Resizer {
    columns: Vec<Taps>,
    rows: Vec<Taps>,
    channels: usize,
    alpha: bool,
    /// The source columns that any target pixel needs.
    across: Range<usize>,
    /// The source rows that any target pixel needs.
    down: Range<usize>,
    /// Rows not yet added, [`BATCH`] of them at most.
    lines: Vec<Vec<f32>>,
    waiting: usize,
    /// The source row that `lines` begins with.
    at: usize,
    /// Sums of the target rows from `done` on.
    sums: VecDeque<Vec<f32>>,
    spare: Vec<Vec<f32>>,
    done: usize,
    samples: Vec<f32>,
}

impl Resizer {
    fn new(columns: Vec<Taps>, rows: Vec<Taps>, channels: usize, alpha: bool) -> Self {
        let span = |taps: &[Taps]| match taps {
            [first, .., last] => first.first..last.end(),
            [only] => only.first..only.end(),
            [] => 0..0,
        };
        let (across, down) = (span(&columns), span(&rows));
        let lines = vec![vec![0.0; across.len() * channels]; BATCH];
        let samples = Vec::with_capacity(columns.len() * rows.len() * channels);
        let (sums, spare) = (VecDeque::new(), Vec::new());
        let at = down.start;
        Self { columns, rows, channels, alpha, across, down, lines, waiting: 0, at, sums, spare, done: 0, samples }
    }

    /// Takes the next row of `down`, of which `fill` writes the samples of `across`.
    fn push(&mut self, fill: impl FnOnce(&mut [f32])) {
        fill(&mut self.lines[self.waiting]);
        self.waiting += 1;
        if self.waiting == BATCH {
            self.add();
        }
    }

    /// All samples, if all rows came.
    fn finish(mut self) -> Option<Vec<f32>> {
        self.add();
        (self.done == self.rows.len()).then_some(self.samples)
    }

    /// Adds the waiting lines to the sums that they have a share in, and finishes the rows that are complete.
    fn add(&mut self) {
        let end = self.at + self.waiting;
        while self.rows.get(self.done + self.sums.len()).is_some_and(|row| row.first < end) {
            let mut sum = self.spare.pop().unwrap_or_default();
            sum.clear();
            sum.resize(self.lines[0].len(), 0.0);
            self.sums.push_back(sum);
        }
        for start in (0..self.lines[0].len()).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(self.lines[0].len());
            let lines: [&[f32]; BATCH] = std::array::from_fn(|line| &self.lines[line][block.clone()]);
            for (sum, row) in self.sums.iter_mut().zip(&self.rows[self.done..]) {
                let weights = std::array::from_fn(|line| match (self.at + line).checked_sub(row.first) {
                    Some(tap) if line < self.waiting => row.weights.get(tap).copied().unwrap_or(0.0),
                    _ => 0.0,
                });
                add_weighted(&mut sum[block.clone()], lines, weights);
            }
        }
        self.at = end;
        self.waiting = 0;
        while self.rows.get(self.done).is_some_and(|row| row.end() <= end) {
            let Some(sum) = self.sums.pop_front() else { break };
            match self.channels {
                1 => self.across_row::<1>(&sum),
                2 => self.across_row::<2>(&sum),
                3 => self.across_row::<3>(&sum),
                _ => self.across_row::<4>(&sum),
            }
            self.spare.push(sum);
            self.done += 1;
        }
    }

    /// Resizes one finished row across, and takes alpha out of its colours again.
    fn across_row<const N: usize>(&mut self, sum: &[f32]) {
        let pixels = sum.as_chunks::<N>().0;
        for taps in &self.columns {
            let mut pixel = [0.0_f32; N];
            let from = taps.first - self.across.start;
            for (weight, source) in taps.weights.iter().zip(&pixels[from..]) {
                for channel in 0..N {
                    pixel[channel] += weight * source[channel];
                }
            }
            if self.alpha {
                let alpha = pixel[N - 1].clamp(0.0, 1.0);
                let invisible = alpha < 0.5 / 255.0;
                for colour in &mut pixel[..N - 1] {
                    *colour = if invisible { 0.0 } else { *colour / alpha };
                }
            }
            self.samples.extend(pixel.map(|sample| sample.clamp(0.0, 1.0)));
        }
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

/// Reads the samples of `span` from a row's bytes, as numbers from 0 to 1.
fn read(row: &[u8], depth: Depth, span: Range<usize>, line: &mut [f32]) {
    let bytes = &row[span.start * depth.bytes()..span.end * depth.bytes()];
    match depth {
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
}

/// Multiplies each pixel's colours by its alpha, the last channel.
fn multiply(line: &mut [f32], channels: usize) {
    for pixel in line.chunks_exact_mut(channels) {
        let Some((alpha, colours)) = pixel.split_last_mut() else { continue };
        for colour in colours {
            *colour *= *alpha;
        }
    }
}

#[cfg(test)]
mod tests {
    use image::imageops::{FilterType, resize};
    use image::metadata::Orientation;
    use image::{Rgb32FImage, RgbImage};
    use proptest::prelude::*;

    use super::*;
    use crate::thumbnail::colour::Model;

    fn picture(width: usize, height: usize, depth: Depth, bytes: Vec<u8>) -> Picture {
        let (model, orientation) = (Model::Rgb, Orientation::NoTransforms);
        Picture { width, height, model, depth, premultiplied: false, bytes, icc: None, orientation }
    }

    fn drawn(width: usize, height: usize) -> RgbImage {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let edge = if (x / 7 + y / 11) % 2 == 0 { 200 } else { 30 };
            image::Rgb([edge, (x * 5 % 256) as u8, (x * y % 251) as u8])
        })
    }

    #[test]
    fn it_agrees_with_another_lanczos() {
        for side in [1, 2, 40, 299, 300, 301, 731, 1203] {
            let source = drawn(side, side);
            let wide = image::DynamicImage::from(source.clone()).to_rgb32f();
            let reference: Rgb32FImage = resize(&wide, 300, 300, FilterType::Lanczos3);
            let target = Target { width: 300, height: 300 };
            let resized = cover(&picture(side, side, Depth::U8, source.into_raw()), target).unwrap();
            let furthest =
                resized.samples.iter().zip(reference.as_raw()).map(|(is, other)| (is - other.clamp(0.0, 1.0)).abs());
            let furthest = furthest.fold(0.0, f32::max) * 255.0;
            assert!(furthest < 1.0, "{side}: {furthest}");
        }
    }

    #[test]
    fn all_depths_give_the_same() {
        let source = drawn(70, 50).into_raw();
        let target = Target { width: 30, height: 20 };
        let wide = source.iter().flat_map(|&byte| (u16::from(byte) * 257).to_ne_bytes()).collect();
        let float = source.iter().flat_map(|&byte| (f32::from(byte) / 255.0).to_ne_bytes()).collect();
        let [one, two, three] = [(Depth::U8, source), (Depth::U16, wide), (Depth::F32, float)]
            .map(|(depth, bytes)| cover(&picture(70, 50, depth, bytes), target).unwrap().samples);
        let near = |other: &[f32]| one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-5);
        assert!(near(&two) && near(&three));
    }

    #[test]
    fn what_is_cut_off_is_the_same_on_both_sides() {
        // Thirds of red, green and blue, of which the middle one and half a pixel of its neighbours is square.
        let source =
            RgbImage::from_fn(301, 100, |x, _| image::Rgb([[255, 0, 0], [0, 255, 0], [0, 0, 255]][(x / 101) as usize]));
        let resized =
            cover(&picture(301, 100, Depth::U8, source.into_raw()), Target { width: 50, height: 50 }).unwrap();
        let row = &resized.samples[..150];
        let (red, blue): (f32, f32) = (row.iter().step_by(3).sum(), row.iter().skip(2).step_by(3).sum());
        assert!(red < 0.5 && blue < 0.5, "{red} {blue}");
    }

    proptest! {
        #[test]
        fn every_target_pixel_has_taps_within_the_source_that_sum_to_one(source in 1_usize..5000, target in 1_usize..500, other in 1_usize..5000) {
            let step = (source as f64 / target as f64).min(other as f64 / target as f64);
            let mut last = 0..0;
            for taps in taps(source, target, step) {
                prop_assert!(!taps.weights.is_empty() && taps.end() <= source);
                prop_assert!(taps.first >= last.start && taps.end() >= last.end, "rows come in order");
                prop_assert!((taps.weights.iter().sum::<f32>() - 1.0).abs() < 1e-4);
                last = taps.first..taps.end();
            }
        }
    }
}
