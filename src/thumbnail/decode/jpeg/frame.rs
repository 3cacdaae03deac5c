//! The frame header (ITU-T T.81, B.2.2), and how its components lie on the picture (A.1, A.2) at the size that they are
//! decoded to.

use crate::thumbnail::Error;
use crate::thumbnail::decode::{Goal, Plane};

/// What the header of the frame says.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    /// 1, 3 or 4.
    pub(super) components: Vec<Component>,
}

/// One component.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Its blocks in an MCU of all components.
    pub(super) across: usize,
    pub(super) down: usize,
    /// Which quantisation table.
    pub(super) quantisers: usize,
    /// Its blocks that hold a part of the picture.
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// How many samples across and down are made of each block: 1, 2, 4 or 8.
    pub(super) side: usize,
}

impl Frame {
    /// The caller has checked that this is a picture of 8 bits a sample.
    pub(super) fn new(content: &[u8], progressive: bool) -> Result<Self, Error> {
        const BAD: Error = Error::BadHeader("a bad frame header");
        let (&[8, h1, h0, w1, w0, count], specs) = content.split_first_chunk::<6>().ok_or(BAD)? else {
            return Err(Error::Unsupported("JPEG with more than 8 bits a channel"));
        };
        let (width, height) = (u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
        let specs = specs.as_chunks::<3>().0.get(..count.into()).filter(|_| matches!(count, 1 | 3 | 4)).ok_or(BAD)?;
        let components: Vec<Component> = specs
            .iter()
            .map(|&[id, factors, quantisers]| {
                // A single component's factors mean nothing (A.2.2).
                let (across, down) = if count == 1 { (1, 1) } else { (factors >> 4, factors & 15) };
                let (across, down, quantisers) = (across.into(), down.into(), quantisers.into());
                Component { id, across, down, quantisers, columns: 0, rows: 0, side: 8 }
            })
            .collect();
        let sound = |component: &Component| (1..=4).contains(&component.across) && (1..=4).contains(&component.down);
        if width == 0 || height == 0 || !components.iter().all(|component| sound(component) && component.quantisers < 4)
        {
            return Err(BAD);
        }
        let mut frame = Self { width, height, progressive, components };
        let (most_across, most_down) = frame.most();
        for component in &mut frame.components {
            component.columns = (width * component.across).div_ceil(8 * most_across);
            component.rows = (height * component.down).div_ceil(8 * most_down);
        }
        Ok(frame)
    }

    /// The most blocks across and down that a component has in an MCU.
    fn most(&self) -> (usize, usize) {
        let most = |factor: fn(&Component) -> usize| self.components.iter().map(factor).max().unwrap_or(1);
        (most(|component| component.across), most(|component| component.down))
    }

    /// The MCUs across and down of a scan in which several components are interleaved.
    pub(super) fn mcus(&self) -> (usize, usize) {
        let (across, down) = self.most();
        (self.width.div_ceil(8 * across), self.height.div_ceil(8 * down))
    }

    /// Chooses how much each component is shrunk; `chroma` tells which ones are chroma.
    pub(super) fn shrink(&mut self, goal: Goal, chroma: impl Fn(usize) -> bool) {
        let most = self.most();
        for (index, component) in self.components.iter_mut().enumerate() {
            let allowed = if chroma(index) { goal.chroma * CHROMA_SLACK } else { goal.step };
            let step = (most.0 as f64 / component.across as f64).max(most.1 as f64 / component.down as f64);
            component.side = [1, 2, 4].into_iter().find(|&side| step * (8 / side) as f64 <= allowed).unwrap_or(8);
        }
    }

    /// How a component's samples lie on the picture.
    pub(super) fn plane(&self, component: &Component) -> Plane {
        let (most_across, most_down) = self.most();
        let step = |most: usize, factor: usize| most as f64 / factor as f64 * (8 / component.side) as f64;
        let (across, down) = (step(most_across, component.across), step(most_down, component.down));
        let samples = |pixels: usize, step: f64| ((pixels as f64 / step).round() as usize).max(1);
        let (width, height) = (samples(self.width, across), samples(self.height, down));
        Plane { width, height, across, down, channels: 1 }
    }
}

/// How much further apart than is wanted chroma samples may lie: the eye does not see it, and the next finer size takes
/// four times the coefficients.
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
    fn each_component_is_shrunk_as_far_as_its_own_resolution_allows() {
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
    fn a_plane_has_the_samples_that_lie_at_least_half_on_the_picture() {
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
