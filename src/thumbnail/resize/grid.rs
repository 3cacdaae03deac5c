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
        let (mut firsts, mut ends, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..grid.count {
            // A centre beyond the edge, as the last of an odd number of halves may have, counts as the edge.
            let centre = ((grid.origin + (index as f64 + 0.5) * grid.step) / step).clamp(0.0, samples as f64);
            let first = ((centre - reach + 0.5).max(0.0) as usize).min(samples - 1);
            let end = ((centre + reach + 0.5) as usize).clamp(first + 1, samples);
            let weight = |at: usize| lanczos3((at as f64 + 0.5 - centre) / scale);
            let sum: f64 = (first..end).map(weight).sum();
            weights.extend((first..end).map(|at| (weight(at) / sum) as f32));
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

/// The sinc function, windowed by its own main lobe stretched to three.
fn lanczos3(x: f64) -> f64 {
    let sinc = |x: f64| if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) };
    if x.abs() < 3.0 { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
