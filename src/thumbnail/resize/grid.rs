//! Position of the target pixels on the source along one axis, and the filter weights of the source samples.

use std::f64::consts::PI;
use std::ops::Range;

/// Target pixels along one axis, in pixels of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid {
    /// Start of the first pixel.
    pub(crate) origin: f64,
    /// Distance between pixels.
    pub(crate) step: f64,
    pub(crate) count: usize,
}

impl Grid {
    /// `count` pixels, `step` apart, centred on the source.
    pub(crate) fn centred(source: usize, step: f64, count: usize) -> Self {
        Self { origin: (source as f64 - step * count as f64) / 2.0, step, count }
    }

    /// `count` pixels that divide the source evenly.
    pub(crate) fn spanning(source: usize, count: usize) -> Self {
        Self { origin: 0.0, step: source as f64 / count as f64, count }
    }

    /// The grid at half the resolution, where each pixel covers two. Of an odd count, the last or the first pixel
    /// covers only one.
    pub(crate) fn halved(self, single_first: bool) -> Self {
        let shift = if single_first && self.count % 2 == 1 { self.step } else { 0.0 };
        Self { origin: self.origin - shift, step: self.step * 2.0, count: self.count.div_ceil(2) }
    }
}

/// The weights of the source samples for each target pixel; those of one pixel sum to 1.
pub(super) struct Taps {
    firsts: Vec<usize>,
    ends: Vec<usize>,
    /// The weights of all pixels, concatenated.
    weights: Vec<f32>,
}

impl Taps {
    /// Lanczos3 over `samples` samples, each of which covers `step` pixels of the image. Taps beyond the edge are
    /// dropped, and the remaining ones are normalised.
    pub(super) fn new(grid: Grid, samples: usize, step: f64) -> Self {
        let scale = (grid.step / step).max(1.0);
        let reach = 3.0 * scale;
        let (mut firsts, mut ends, mut weights, mut line) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for index in 0..grid.count {
            // The last pixel of a halved odd grid can have its centre beyond the edge.
            let centre = ((grid.origin + (index as f64 + 0.5) * grid.step) / step).clamp(0.0, samples as f64);
            let first = ((centre - reach + 0.5).max(0.0) as usize).min(samples - 1);
            let end = ((centre + reach + 0.5) as usize).clamp(first + 1, samples);
            line.clear();
            line.extend(lanczos3((first as f64 + 0.5 - centre) / scale, 1.0 / scale).take(end - first));
            let sum: f64 = line.iter().sum();
            weights.extend(line.iter().map(|weight| (weight / sum) as f32));
            firsts.push(first);
            ends.push(weights.len());
        }
        Self { firsts, ends, weights }
    }

    pub(super) fn len(&self) -> usize {
        self.firsts.len()
    }

    /// The first sample and the weights of one pixel.
    pub(super) fn weights(&self, pixel: usize) -> (usize, &[f32]) {
        let start = pixel.checked_sub(1).map_or(0, |before| self.ends[before]);
        (self.firsts[pixel], &self.weights[start..self.ends[pixel]])
    }

    /// The samples of one pixel.
    pub(super) fn range(&self, pixel: usize) -> Range<usize> {
        let (first, weights) = self.weights(pixel);
        first..first + weights.len()
    }

    /// The samples that any pixel needs.
    pub(super) fn span(&self) -> Range<usize> {
        match self.len() {
            0 => 0..0,
            pixels => self.range(0).start..self.range(pixels - 1).end,
        }
    }
}

/// The Lanczos3 kernel at `x`, `x + step`, and so on. The sines are computed by angle addition: a call of `sin` for
/// each would take longer than the resize itself.
fn lanczos3(x: f64, step: f64) -> impl Iterator<Item = f64> {
    let angles = |x: f64, step: f64| {
        let ((sine, cosine), (step_sine, step_cosine)) = ((PI * x).sin_cos(), (PI * step).sin_cos());
        let next = move |&(sine, cosine): &(f64, f64)| {
            Some((sine * step_cosine + cosine * step_sine, cosine * step_cosine - sine * step_sine))
        };
        std::iter::successors(Some((sine, cosine)), next).map(|(sine, _)| sine)
    };
    let sines = angles(x, step).zip(angles(x / 3.0, step / 3.0));
    (0..).zip(sines).map(move |(index, (sine, window))| {
        let x = x + f64::from(index) * step;
        // Near zero, the quotient consists of rounding errors.
        if x.abs() < 1e-6 {
            1.0
        } else if x.abs() < 3.0 {
            sine * window * 3.0 / (PI * x).powi(2)
        } else {
            0.0
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernel_matches_its_formula() {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
        for (x, step) in [(-3.0, 0.5), (-2.97, 0.001), (-2.9, 1.0), (0.0, 0.1)] {
            for (index, weight) in lanczos3(x, step).take(6000).enumerate() {
                let x = x + index as f64 * step;
                let expected = if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 };
                assert!((weight - expected).abs() < 1e-6, "{x}: {weight} {expected}");
            }
        }
    }

    proptest! {
        #[test]
        fn every_target_pixel_has_taps_within_the_source_that_sum_to_one(
            source in 1_usize..5000, target in 1_usize..500, other in 1_usize..5000, shrink in 0_u32..4, first: bool,
        ) {
            let step = (source as f64 / target as f64).min(other as f64 / target as f64);
            let covered = f64::from(1 << shrink);
            let samples = ((source as f64 / covered).round() as usize).max(1);
            for grid in [Grid::centred(source, step, target), Grid::centred(source, step, target).halved(first)] {
                let taps = Taps::new(grid, samples, covered);
                let mut last = 0..0;
                for pixel in 0..taps.len() {
                    let range = taps.range(pixel);
                    prop_assert!(!range.is_empty() && range.end <= samples);
                    prop_assert!(range.start >= last.start && range.end >= last.end, "taps advance in order");
                    prop_assert!((taps.weights(pixel).1.iter().sum::<f32>() - 1.0).abs() < 1e-4);
                    last = range;
                }
            }
        }
    }
}
