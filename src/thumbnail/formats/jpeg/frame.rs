//! Frame header (ITU-T T.81, B.2.2), and the geometry of its components (A.1, A.2) at the decoded size.

use super::variants;
use crate::error::Error;
use crate::raster::{Goal, Plane};

#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    /// 1, 3 or 4.
    pub(super) components: Vec<Component>,
}

#[derive(Debug, Clone)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors: its blocks in an MCU of an interleaved scan.
    pub(super) horizontal: usize,
    pub(super) vertical: usize,
    /// Number of its quantisation table.
    pub(super) quantisers: usize,
    /// Its blocks, without those that only pad an MCU.
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Width and height in samples of a decoded block: 1, 2, 4 or 8.
    pub(super) side: usize,
}

impl Frame {
    /// Length of the payload for four components, the most that are supported.
    pub(super) const MAX_PAYLOAD: usize = 6 + 4 * 3;

    pub(super) fn new(payload: &[u8], progressive: bool) -> Result<Self, Error> {
        const BAD: Error = Error::BadHeader("a bad frame header");
        let (&[precision, h1, h0, w1, w0, count], specs) = payload.split_first_chunk::<6>().ok_or(BAD)?;
        if precision != 8 {
            return Err(variants::unsupported_precision(precision));
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        match (count, width, height) {
            (0, ..) | (_, 0, _) => return Err(BAD),
            (.., 0) => return Err(variants::unsupported_height()),
            (1 | 3 | 4, ..) => {}
            _ => return Err(variants::unsupported_components()),
        }
        let specs = specs.as_chunks::<3>().0.get(..count.into()).ok_or(BAD)?;
        let in_range =
            |&[_, factors, table]: &[u8; 3]| matches!((factors >> 4, factors & 15, table), (1..=4, 1..=4, ..4));
        if !specs.iter().all(in_range) {
            return Err(BAD);
        }
        let components: Vec<Component> = specs
            .iter()
            .map(|&[id, factors, quantisers]| {
                // The factors of a single component have no effect (A.2.2).
                let (horizontal, vertical) = if count == 1 { (1, 1) } else { (factors >> 4, factors & 15) };
                let (horizontal, vertical) = (horizontal.into(), vertical.into());
                Component { id, horizontal, vertical, quantisers: quantisers.into(), columns: 0, rows: 0, side: 8 }
            })
            .collect();
        let mut frame = Self { width, height, progressive, components };
        let (max_horizontal, max_vertical) = frame.max_sampling();
        for component in &mut frame.components {
            component.columns = (width * component.horizontal).div_ceil(8 * max_horizontal);
            component.rows = (height * component.vertical).div_ceil(8 * max_vertical);
        }
        Ok(frame)
    }

    /// The largest horizontal and vertical sampling factor.
    fn max_sampling(&self) -> (usize, usize) {
        let max = |factor: fn(&Component) -> usize| self.components.iter().map(factor).max().unwrap_or(1);
        (max(|component| component.horizontal), max(|component| component.vertical))
    }

    /// Columns and rows of MCUs in an interleaved scan.
    pub(super) fn mcus(&self) -> (usize, usize) {
        let (horizontal, vertical) = self.max_sampling();
        (self.width.div_ceil(8 * horizontal), self.height.div_ceil(8 * vertical))
    }

    /// Chooses the block size of each component; `chroma` selects the chroma components.
    pub(super) fn shrink(&mut self, goal: Goal, chroma: impl Fn(usize) -> bool) {
        let max = self.max_sampling();
        for (index, component) in self.components.iter_mut().enumerate() {
            let allowed = if chroma(index) { goal.chroma * CHROMA_SLACK } else { goal.step };
            let step = (max.0 as f64 / component.horizontal as f64).max(max.1 as f64 / component.vertical as f64);
            component.side = [1, 2, 4].into_iter().find(|&side| step * (8 / side) as f64 <= allowed).unwrap_or(8);
        }
    }

    /// The plane that a component is decoded to.
    pub(super) fn plane(&self, component: &Component) -> Plane {
        let (max_horizontal, max_vertical) = self.max_sampling();
        let step = |max: usize, factor: usize| max as f64 / factor as f64 * (8 / component.side) as f64;
        let (x_step, y_step) = (step(max_horizontal, component.horizontal), step(max_vertical, component.vertical));
        let samples = |pixels: usize, step: f64| ((pixels as f64 / step).round() as usize).max(1);
        let (width, height) = (samples(self.width, x_step), samples(self.height, y_step));
        Plane { width, height, x_step, y_step, channels: 1 }
    }
}

/// Factor by which the step of chroma samples can exceed the goal: the difference is not visible, and the next larger
/// block size needs four times the coefficients.
const CHROMA_SLACK: f64 = 1.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(width: u16, height: u16, factors: &[u8]) -> Frame {
        let sides = [&[8], &height.to_be_bytes()[..], &width.to_be_bytes(), &[factors.len() as u8]].concat();
        let specs = (1..).zip(factors).flat_map(|(id, &factors)| [id, factors, 0]);
        Frame::new(&sides.into_iter().chain(specs).collect::<Vec<u8>>(), false).unwrap()
    }

    #[test]
    fn each_component_is_shrunk_as_far_as_its_resolution_allows() {
        let sides = |width, height, factors: &[u8], step| {
            let mut frame = frame(width, height, factors);
            frame.shrink(Goal { step, chroma: 2.0 * step }, |index| index > 0);
            frame.components.iter().map(|component| component.side).collect::<Vec<usize>>()
        };
        assert_eq!(sides(4000, 3000, &[0x22, 0x11, 0x11], 10.0), [1, 1, 1]);
        assert_eq!(sides(2725, 2225, &[0x22, 0x11, 0x11], 2225.0 / 300.0), [2, 1, 1]);
        assert_eq!(sides(2000, 2000, &[0x22, 0x11, 0x11], 2000.0 / 300.0), [2, 2, 2]);
        assert_eq!(sides(2000, 2000, &[0x11, 0x11, 0x11], 2000.0 / 300.0), [2, 1, 1]);
        assert_eq!(sides(300, 300, &[0x41, 0x11, 0x11], 1.0), [8, 8, 8]);
        assert_eq!(sides(8000, 8000, &[0x21], 3.9), [4]);
    }

    #[test]
    fn a_plane_has_the_samples_that_lie_at_least_half_within_the_image() {
        let mut frame = frame(2725, 17, &[0x22, 0x11, 0x11]);
        let sizes = |frame: &Frame| {
            let planes = frame.components.iter().map(|component| frame.plane(component));
            planes.map(|plane| (plane.width, plane.height)).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&frame), [(2725, 17), (1363, 9), (1363, 9)]);
        assert_eq!((frame.mcus(), frame.components[1].columns, frame.components[1].rows), ((171, 2), 171, 2));
        frame.shrink(Goal { step: 8.0, chroma: 16.0 }, |index| index > 0);
        assert_eq!(sizes(&frame), [(341, 2), (170, 1), (170, 1)]);
    }
}
