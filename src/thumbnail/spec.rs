//! What is wanted of a thumbnail, and where its pixels then lie on the picture.

use image::metadata::Orientation;

use super::orientation::{mirrored, swaps};
use super::resize::Grid;

/// How a picture is fitted into the wanted width and height; it is enlarged where it is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Fills the size, and cuts off what reaches over it, the same on both sides.
    Cover,
    /// Lies whole within the size, centred; what is left is clear if the thumbnail has alpha, and else black.
    Contain,
    /// As large as the size allows at the picture's own ratio, so that one side may be shorter.
    Inside,
}

/// Which format a thumbnail gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// JPEG; PNG if a pixel is not opaque.
    Jpeg,
    /// PNG, whatever the pixels are.
    Png,
    /// Lossy WebP, with alpha if a pixel is not opaque.
    WebP,
    /// JPEG; WebP if a pixel is not opaque, which takes a fraction of a PNG's bytes.
    Auto,
}

impl Output {
    /// Whether this build can write it: WebP needs the feature `libwebp`.
    pub fn is_available(self) -> bool {
        match self {
            Self::Jpeg | Self::Png => true,
            Self::WebP | Self::Auto => cfg!(feature = "libwebp"),
        }
    }
}

/// What is wanted of one thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// How the picture is fitted into the size.
    pub fit: Fit,
    /// In pixels, from 1 to [`MAX_SIDE`](super::MAX_SIDE).
    pub width: u32,
    /// In pixels, from 1 to [`MAX_SIDE`](super::MAX_SIDE).
    pub height: u32,
    /// Which format.
    pub output: Output,
    /// JPEG's, from 1 to 100, on the scale of the Independent JPEG Group; WebP's, on libwebp's.
    pub quality: u8,
    /// Whether the picture is decoded at no less than 1.5 times the size, which costs time and gains little.
    pub fine: bool,
}

impl Default for Spec {
    /// [`SIDE`](super::SIDE) pixels square, filled: JPEG of quality 80.
    fn default() -> Self {
        let side = super::SIDE as u32;
        Self { fit: Fit::Cover, width: side, height: side, output: Output::Jpeg, quality: 80, fine: false }
    }
}

/// A spec applied to one picture: the pixels to make, in the picture's own direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    pub(super) across: Grid,
    pub(super) down: Grid,
    /// The upright size that the pixels are centred in; larger than they are only for [`Fit::Contain`].
    pub(super) canvas: (usize, usize),
    orientation: Orientation,
}

impl Plan {
    /// For a picture of this size as it is stored.
    pub(super) fn new(spec: &Spec, width: usize, height: usize, orientation: Orientation) -> Self {
        let wanted = (spec.width.max(1) as usize, spec.height.max(1) as usize);
        let (tall, wide) = if swaps(orientation) { wanted } else { (wanted.1, wanted.0) };
        let ratios = (width as f64 / wide as f64, height as f64 / tall as f64);
        let (across, down) = match spec.fit {
            Fit::Cover => {
                let step = ratios.0.min(ratios.1);
                (Grid::centred(width, step, wide), Grid::centred(height, step, tall))
            }
            Fit::Contain | Fit::Inside => {
                let step = ratios.0.max(ratios.1);
                let side = |source: usize, most: usize| ((source as f64 / step).round() as usize).clamp(1, most);
                (Grid::whole(width, side(width, wide)), Grid::whole(height, side(height, tall)))
            }
        };
        let upright = if swaps(orientation) { (down.count, across.count) } else { (across.count, down.count) };
        let canvas = if spec.fit == Fit::Contain { wanted } else { upright };
        Self { across, down, canvas, orientation }
    }

    /// Whether the canvas is larger than the picture on it.
    pub(super) fn padded(&self) -> bool {
        self.canvas.0 * self.canvas.1 > self.across.count * self.down.count
    }

    /// The grids of chroma at half the resolution, whose first sample shares its place with the first two pixels of the
    /// upright picture.
    pub(super) fn halved(&self) -> (Grid, Grid) {
        let (across, down) = mirrored(self.orientation);
        (self.across.halved(across), self.down.halved(down))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(fit: Fit, width: usize, height: usize, orientation: Orientation) -> Plan {
        Plan::new(&Spec { fit, width: 300, height: 200, ..Spec::default() }, width, height, orientation)
    }

    fn counts(plan: &Plan) -> (usize, usize) {
        (plan.across.count, plan.down.count)
    }

    #[test]
    fn cover_cuts_the_longer_side_off_in_the_middle() {
        let plan = plan(Fit::Cover, 1000, 500, Orientation::NoTransforms);
        assert_eq!((counts(&plan), plan.canvas), ((300, 200), (300, 200)));
        assert_eq!(plan.across, Grid { origin: 125.0, step: 2.5, count: 300 });
        assert_eq!(plan.down, Grid { origin: 0.0, step: 2.5, count: 200 });
    }

    #[test]
    fn inside_keeps_the_ratio_and_contain_the_size() {
        let inside = plan(Fit::Inside, 1000, 500, Orientation::NoTransforms);
        assert_eq!((counts(&inside), inside.canvas), ((300, 150), (300, 150)));
        let contain = plan(Fit::Contain, 1000, 500, Orientation::NoTransforms);
        assert_eq!((counts(&contain), contain.canvas), ((300, 150), (300, 200)));
        assert!(contain.padded() && !inside.padded());
        assert_eq!(counts(&plan(Fit::Inside, 60_000, 1, Orientation::NoTransforms)), (300, 1));
    }

    #[test]
    fn a_picture_that_lies_on_its_side_is_measured_upright() {
        let turned = plan(Fit::Inside, 500, 1000, Orientation::Rotate90);
        assert_eq!((counts(&turned), turned.canvas), ((150, 300), (300, 150)));
    }

    #[test]
    fn halves_begin_where_the_upright_picture_does() {
        let spec = Spec { fit: Fit::Inside, width: 5, height: 3, ..Spec::default() };
        let (across, down) = Plan::new(&spec, 10, 6, Orientation::FlipHorizontal).halved();
        assert_eq!(across, Grid { origin: -2.0, step: 4.0, count: 3 });
        assert_eq!(down, Grid { origin: 0.0, step: 4.0, count: 2 });
    }
}
