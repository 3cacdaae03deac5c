//! Geometry of a thumbnail: the position of its pixels on the image.

use image::metadata::Orientation;

use super::orientation::{mirrored, swaps};
use super::resize::Grid;
use super::spec::{Fit, Spec};

/// A spec applied to an image: the pixels to produce, in the stored orientation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    pub(crate) horizontal: Grid,
    pub(crate) vertical: Grid,
    /// Upright size of the thumbnail; larger than the pixels only with a margin ([`Fit::Contain`]).
    pub(crate) canvas: (usize, usize),
    orientation: Orientation,
}

impl Plan {
    /// For an image of this stored size.
    pub(crate) fn new(spec: &Spec, width: usize, height: usize, orientation: Orientation) -> Self {
        let wanted = (spec.width.max(1) as usize, spec.height.max(1) as usize);
        let (target_height, target_width) = if swaps(orientation) { wanted } else { (wanted.1, wanted.0) };
        let ratios = (width as f64 / target_width as f64, height as f64 / target_height as f64);
        let (horizontal, vertical) = match spec.fit {
            Fit::Cover => {
                let step = ratios.0.min(ratios.1);
                (Grid::centred(width, step, target_width), Grid::centred(height, step, target_height))
            }
            Fit::Contain | Fit::Inside => {
                let step = ratios.0.max(ratios.1);
                let side = |source: usize, max: usize| ((source as f64 / step).round() as usize).clamp(1, max);
                let (columns, rows) = (side(width, target_width), side(height, target_height));
                (Grid::spanning(width, columns), Grid::spanning(height, rows))
            }
        };
        let stored = (horizontal.count, vertical.count);
        let upright = if swaps(orientation) { (stored.1, stored.0) } else { stored };
        let canvas = if spec.fit == Fit::Contain { wanted } else { upright };
        Self { horizontal, vertical, canvas, orientation }
    }

    /// Whether the thumbnail has a margin.
    pub(crate) fn has_margin(&self) -> bool {
        self.canvas.0 * self.canvas.1 > self.horizontal.count * self.vertical.count
    }

    /// The grids of chroma at half the resolution. The first chroma sample covers the first two pixels of the upright
    /// image.
    pub(crate) fn halved(&self) -> (Grid, Grid) {
        let (columns, rows) = mirrored(self.orientation);
        (self.horizontal.halved(columns), self.vertical.halved(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(fit: Fit, width: usize, height: usize, orientation: Orientation) -> Plan {
        Plan::new(&Spec { fit, width: 300, height: 200, ..Spec::default() }, width, height, orientation)
    }

    fn counts(plan: &Plan) -> (usize, usize) {
        (plan.horizontal.count, plan.vertical.count)
    }

    #[test]
    fn cover_crops_the_longer_side_equally() {
        let plan = plan(Fit::Cover, 1000, 500, Orientation::NoTransforms);
        assert_eq!((counts(&plan), plan.canvas), ((300, 200), (300, 200)));
        assert_eq!(plan.horizontal, Grid { origin: 125.0, step: 2.5, count: 300 });
        assert_eq!(plan.vertical, Grid { origin: 0.0, step: 2.5, count: 200 });
    }

    #[test]
    fn inside_keeps_the_ratio_and_contain_keeps_the_size() {
        let inside = plan(Fit::Inside, 1000, 500, Orientation::NoTransforms);
        assert_eq!((counts(&inside), inside.canvas), ((300, 150), (300, 150)));
        let contain = plan(Fit::Contain, 1000, 500, Orientation::NoTransforms);
        assert_eq!((counts(&contain), contain.canvas), ((300, 150), (300, 200)));
        assert!(contain.has_margin() && !inside.has_margin());
        assert_eq!(counts(&plan(Fit::Inside, 60_000, 1, Orientation::NoTransforms)), (300, 1));
    }

    #[test]
    fn a_rotated_image_is_fitted_upright() {
        let rotated = plan(Fit::Inside, 500, 1000, Orientation::Rotate90);
        assert_eq!((counts(&rotated), rotated.canvas), ((150, 300), (300, 150)));
    }

    #[test]
    fn halved_grids_start_at_the_origin_of_the_upright_image() {
        let spec = Spec { fit: Fit::Inside, width: 5, height: 3, ..Spec::default() };
        let (horizontal, vertical) = Plan::new(&spec, 10, 6, Orientation::FlipHorizontal).halved();
        assert_eq!(horizontal, Grid { origin: -2.0, step: 4.0, count: 3 });
        assert_eq!(vertical, Grid { origin: 0.0, step: 4.0, count: 2 });
    }
}
