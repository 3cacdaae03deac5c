//! Lanczos3 resize of planes, row by row as a decoder gives them: nothing is held but the rows that are worked on, and
//! one decode serves any number of targets.
//!
//! Targets are given in pixels of the picture, so a plane that is shrunk or subsampled needs no care. Taps are clamped to
//! a plane's true samples. Alpha is multiplied into the colours first, so that what is invisible has no colour to give
//! away.

mod feed;
mod grid;
mod rows;
#[cfg(test)]
mod tests;

use feed::Feed;
pub(super) use grid::Grid;

use super::Error;
use super::decode::{Area, Header, Layout, Plane, Sink};

/// Resized samples of one plane, from 0 to 1, channels interleaved, alpha not multiplied in.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resized {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) samples: Vec<f32>,
}

/// Resizes all planes of a picture to all targets at once.
pub(super) struct Resize {
    feeds: Vec<Feed>,
    /// Of each plane, each target's width and height.
    sizes: Vec<Vec<(usize, usize)>>,
    /// The channels of a pixel, if the last one is alpha.
    alpha: Option<usize>,
}

impl Resize {
    /// `targets` has of each plane the grids across and down of each target.
    pub(super) fn new(header: &Header, planes: &[Plane], targets: &[Vec<(Grid, Grid)>]) -> Self {
        let alpha = header.model.alpha();
        let layout = Layout { depth: header.depth, multiply: alpha && !header.premultiplied };
        let feeds = planes.iter().zip(targets).map(|(plane, targets)| Feed::new(plane, layout, targets)).collect();
        let size = |(across, down): &(Grid, Grid)| (across.count, down.count);
        let sizes = targets.iter().map(|targets| targets.iter().map(size).collect()).collect();
        Self { feeds, sizes, alpha: alpha.then(|| header.model.channels()) }
    }

    /// The columns and rows of a plane that any target needs.
    pub(super) fn needed(&self) -> Vec<Area> {
        self.feeds.iter().map(Feed::needed).collect()
    }

    /// Of each target all planes.
    pub(super) fn finish(self) -> Result<Vec<Vec<Resized>>, Error> {
        let mut targets: Vec<Vec<Resized>> = Vec::new();
        for (feed, sizes) in self.feeds.into_iter().zip(self.sizes) {
            let planes = feed.finish().ok_or_else(|| Error::corrupt("the decoder gives too few rows"))?;
            targets.resize_with(planes.len(), Vec::new);
            for ((target, mut samples), (width, height)) in targets.iter_mut().zip(planes).zip(sizes) {
                bounded(&mut samples, self.alpha);
                target.push(Resized { width, height, samples });
            }
        }
        Ok(targets)
    }
}

impl Sink for Resize {
    fn row(&mut self, plane: usize, bytes: &[u8]) {
        if let Some(feed) = self.feeds.get_mut(plane) {
            feed.push(bytes);
        }
    }
}

/// Takes alpha out of the colours again, and what overshoots off.
fn bounded(samples: &mut [f32], alpha: Option<usize>) {
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
