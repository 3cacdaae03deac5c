//! Lanczos3 resize of planes, row by row as the decoder emits them. Only the rows in progress are held, and one decode
//! serves any number of targets.
//!
//! Targets are given in pixels of the image, so shrunk and subsampled planes need no special case. Taps are clamped to
//! the samples of a plane. Colours are multiplied by alpha first, so that invisible pixels do not contribute colour.

mod accumulator;
mod grid;
mod resizer;
#[cfg(test)]
mod tests;

use accumulator::Accumulator;
pub(crate) use grid::Grid;

use super::error::Error;
use super::raster::{Area, Header, Layout, Plane, Resized, Sink};

/// Resizes all planes of an image to all targets at once.
pub(crate) struct Resize {
    accumulators: Vec<Accumulator>,
    /// By plane and target: width and height.
    sizes: Vec<Vec<(usize, usize)>>,
    /// Channels per pixel, if the last one is alpha.
    alpha: Option<usize>,
}

impl Resize {
    /// `targets` has the horizontal and vertical grid by plane and target.
    pub(crate) fn new(header: &Header, planes: &[Plane], targets: &[Vec<(Grid, Grid)>]) -> Self {
        let alpha = header.model.has_alpha();
        let layout = Layout { depth: header.depth, multiply: alpha && !header.premultiplied };
        let accumulator = |(plane, targets): (_, &Vec<_>)| Accumulator::new(plane, layout, targets);
        let accumulators = planes.iter().zip(targets).map(accumulator).collect();
        let size = |(horizontal, vertical): &(Grid, Grid)| (horizontal.count, vertical.count);
        let sizes = targets.iter().map(|targets| targets.iter().map(size).collect()).collect();
        Self { accumulators, sizes, alpha: alpha.then(|| header.model.channels()) }
    }

    /// The columns and rows of each plane that any target needs.
    pub(crate) fn needed(&self) -> Vec<Area> {
        self.accumulators.iter().map(Accumulator::needed).collect()
    }

    /// The resized planes of each target.
    pub(crate) fn finish(self) -> Result<Vec<Vec<Resized>>, Error> {
        let mut targets: Vec<Vec<Resized>> = Vec::new();
        for (accumulator, sizes) in self.accumulators.into_iter().zip(self.sizes) {
            let planes = accumulator.finish().ok_or_else(|| Error::corrupt("too few decoded rows"))?;
            targets.resize_with(planes.len(), Vec::new);
            for ((target, mut samples), (width, height)) in targets.iter_mut().zip(planes).zip(sizes) {
                unmultiply_and_clamp(&mut samples, self.alpha);
                target.push(Resized { width, height, samples });
            }
        }
        Ok(targets)
    }
}

impl Sink for Resize {
    fn row(&mut self, plane: usize, bytes: &[u8]) {
        if let Some(accumulator) = self.accumulators.get_mut(plane) {
            accumulator.push(bytes);
        }
    }
}

/// Divides colours by alpha and clamps overshoot.
fn unmultiply_and_clamp(samples: &mut [f32], alpha: Option<usize>) {
    if let Some(channels) = alpha {
        for pixel in samples.chunks_exact_mut(channels) {
            let Some((alpha, colours)) = pixel.split_last_mut() else { continue };
            let alpha = alpha.clamp(0.0, 1.0);
            let invisible = alpha < 0.5 / 255.0;
            for colour in colours {
                *colour = if invisible { 0.0 } else { *colour / alpha };
            }
        }
    }
    for sample in samples {
        *sample = sample.clamp(0.0, 1.0);
    }
}
