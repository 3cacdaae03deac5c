//! Where the target's pixels lie on the source along one axis, and which samples have a share in each.

use std::f64::consts::PI;
use std::ops::Range;

/// Target pixels along one axis, in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::thumbnail) struct Grid {
    /// Where the first one begins.
    pub(in crate::thumbnail) origin: f64,
    /// How far they are apart.
    pub(in crate::thumbnail) step: f64,
    pub(in crate::thumbnail) count: usize,
}

impl Grid {
    /// `count` pixels, `step` apart, in the middle of the source.
    pub(in crate::thumbnail) fn centred(source: usize, step: f64, count: usize) -> Self {
        Self { origin: (source as f64 - step * count as f64) / 2.0, step, count }
    }

    /// `count` pixels that share the source evenly.
    pub(in crate::thumbnail) fn whole(source: usize, count: usize) -> Self {
        Self { origin: 0.0, step: source as f64 / count as f64, count }
    }

    /// Half as many, each in the place of two; of an odd count the single one comes last, or first.
    pub(in crate::thumbnail) fn halved(self, single_first: bool) -> Self {
        let shift = if single_first && self.count % 2 == 1 { self.step } else { 0.0 };
        Self { origin: self.origin - shift, step: self.step * 2.0, count: self.count.div_ceil(2) }
    }
}

/// The weights of the source's samples in each target pixel; those of one pixel sum to 1.
pub(super) struct Taps {
    firsts: Vec<usize>,
    ends: Vec<usize>,
    /// All pixels' weights, one after another.
    weights: Vec<f32>,
}

impl Taps {
    /// Lanczos3 over `samples` samples, each of which covers `step` pixels of the picture. Taps beyond the source's edge
    /// are left out, and the others share their weight.
    pub(super) fn new(grid: Grid, samples: usize, step: f64) -> Self {
        let scale = (grid.step / step).max(1.0);
        let reach = 3.0 * scale;
        let (mut firsts, mut ends, mut weights, mut line) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for index in 0..grid.count {
            // A centre beyond the edge, as the last of an odd number of halves may have, counts as the edge.
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
    pub(super) fn of(&self, pixel: usize) -> (usize, &[f32]) {
        let start = pixel.checked_sub(1).map_or(0, |before| self.ends[before]);
        (self.firsts[pixel], &self.weights[start..self.ends[pixel]])
    }

    /// The samples of one pixel.
    pub(super) fn range(&self, pixel: usize) -> Range<usize> {
        let (first, weights) = self.of(pixel);
        first..first + weights.len()
    }

    /// All samples that any pixel needs.
    pub(super) fn span(&self) -> Range<usize> {
        match self.len() {
            0 => 0..0,
            pixels => self.range(0).start..self.range(pixels - 1).end,
        }
    }
}

/// The sinc function, windowed by its own main lobe stretched to three, at `x` and from there at every further `step`.
/// The sines are those of sums of angles: to call for each of them costs more than the picture that is resized.
fn lanczos3(x: f64, step: f64) -> impl Iterator<Item = f64> {
    let angles = |x: f64, step: f64| {
        let ((sine, cosine), (by_sine, by_cosine)) = ((PI * x).sin_cos(), (PI * step).sin_cos());
        let next = move |&(sine, cosine): &(f64, f64)| {
            Some((sine * by_cosine + cosine * by_sine, cosine * by_cosine - sine * by_sine))
        };
        std::iter::successors(Some((sine, cosine)), next).map(|(sine, _)| sine)
    };
    let sines = angles(x, step).zip(angles(x / 3.0, step / 3.0));
    (0..).zip(sines).map(move |(index, (sine, window))| {
        let x = x + f64::from(index) * step;
        // Near zero the quotient would be one of rounding errors.
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
    fn the_window_is_that_of_its_formula() {
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
                    prop_assert!(range.start >= last.start && range.end >= last.end, "rows come in order");
                    prop_assert!((taps.of(pixel).1.iter().sum::<f32>() - 1.0).abs() < 1e-4);
                    last = range;
                }
            }
        }
    }
}
