//! One component's rows of samples that a row of MCUs gives.

use std::ops::Range;

use super::frame::Component;
use crate::thumbnail::decode::{Area, Plane, Sink};

/// The rows that are being decoded.
pub(super) struct Band {
    /// Which plane.
    plane: usize,
    side: usize,
    stride: usize,
    lines: Vec<u8>,
    /// The plane's samples across, and rows that are still to come.
    width: usize,
    rows: usize,
    /// The blocks that are needed.
    columns: Range<usize>,
    down: Range<usize>,
}

impl Band {
    /// For rows of `columns` blocks, `blocks` of them at once.
    pub(super) fn new(
        index: usize,
        component: &Component,
        plane: &Plane,
        needed: &Area,
        (columns, blocks): (usize, usize),
    ) -> Self {
        let side = component.side;
        let stride = columns * side;
        let within = |samples: &Range<usize>| samples.start / side..samples.end.div_ceil(side);
        Self {
            plane: index,
            side,
            stride,
            lines: vec![0; stride * side * blocks],
            width: plane.width,
            rows: plane.height,
            columns: within(&needed.across),
            down: within(&needed.down),
        }
    }

    /// Whether a block has samples that are needed.
    #[inline(always)]
    pub(super) fn needs(&self, column: usize, row: usize) -> bool {
        self.columns.contains(&column) && self.down.contains(&row)
    }

    /// The samples from a block on, and how far apart its rows are.
    #[inline(always)]
    pub(super) fn block(&mut self, column: usize, row: usize) -> (&mut [u8], usize) {
        (&mut self.lines[row * self.side * self.stride + column * self.side..], self.stride)
    }

    /// Gives what was decoded.
    pub(super) fn give(&mut self, sink: &mut dyn Sink) {
        for line in self.lines.chunks_exact(self.stride).take(self.rows) {
            sink.row(self.plane, &line[..self.width]);
        }
        self.rows = self.rows.saturating_sub(self.lines.len() / self.stride);
    }
}
