//! One component's rows of samples that a row of MCUs gives.

use std::ops::Range;

use super::frame::Component;
use super::transform::{self, LANES};
use crate::thumbnail::decode::{Area, Plane, Sink};

/// The rows that are being decoded.
pub(super) struct Band {
    /// Which plane.
    plane: usize,
    stride: usize,
    lines: Vec<u8>,
    /// The plane's samples across, and rows that are still to come.
    width: usize,
    rows: usize,
    /// The blocks that are needed.
    columns: Range<usize>,
    down: Range<usize>,
    /// Of each row of blocks of 4x4, those that wait for their neighbours to be transformed with.
    waiting: Vec<[[i32; 16]; LANES]>,
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
        let stride = columns.next_multiple_of(LANES) * side;
        let within = |samples: &Range<usize>| samples.start / side..samples.end.div_ceil(side);
        Self {
            plane: index,
            stride,
            lines: vec![0; stride * side * blocks],
            width: plane.width,
            rows: plane.height,
            columns: within(&needed.across),
            down: within(&needed.down),
            waiting: vec![[[0; 16]; LANES]; if side == 4 { blocks } else { 0 }],
        }
    }

    /// Whether a block has samples that are needed.
    #[inline(always)]
    pub(super) fn needs(&self, column: usize, row: usize) -> bool {
        self.columns.contains(&column) && self.down.contains(&row)
    }

    /// Takes a block that is needed, of `SIDE` samples across and down; those of a row come in order.
    #[inline(always)]
    pub(super) fn put<const SIDE: usize>(&mut self, column: usize, row: usize, coefficients: &[i32]) {
        let start = row * SIDE * self.stride;
        if SIDE != 4 {
            return transform::block::<SIDE>(coefficients, &mut self.lines[start + column * SIDE..], self.stride);
        }
        let (first, lane) = (column / LANES * LANES, column % LANES);
        let waiting = &mut self.waiting[row];
        waiting[lane] = *coefficients.first_chunk().unwrap_or(&[0; 16]);
        if lane == LANES - 1 || column + 1 == self.columns.end {
            transform::fours(waiting, &mut self.lines[start + first * SIDE..], self.stride);
        }
    }

    /// Gives what was decoded.
    pub(super) fn give(&mut self, sink: &mut dyn Sink) {
        for line in self.lines.chunks_exact(self.stride).take(self.rows) {
            sink.row(self.plane, &line[..self.width]);
        }
        self.rows = self.rows.saturating_sub(self.lines.len() / self.stride);
    }
}
