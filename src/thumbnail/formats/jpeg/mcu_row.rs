//! The samples of one component in one MCU row.

use std::ops::Range;

use super::frame::Component;
use super::idct::{self, LANES};
use crate::raster::{Area, Plane, Sink};

/// Sample rows that are being decoded.
pub(super) struct McuRow {
    /// Index of the plane.
    plane: usize,
    stride: usize,
    samples: Vec<u8>,
    /// Samples of a row of the plane.
    width: usize,
    /// Rows of the plane that are not emitted yet.
    remaining_rows: usize,
    /// The blocks that are needed.
    columns: Range<usize>,
    rows: Range<usize>,
    /// Of each row of 4x4 blocks, those not transformed yet: [`LANES`] neighbours are transformed together.
    pending: Vec<[[i32; 16]; LANES]>,
}

impl McuRow {
    /// `columns` is the number of blocks in a row, `rows` the number of block rows in an MCU row.
    pub(super) fn new(
        index: usize,
        component: &Component,
        plane: &Plane,
        needed: &Area,
        (columns, rows): (usize, usize),
    ) -> Self {
        let side = component.side;
        let stride = columns.next_multiple_of(LANES) * side;
        let blocks = |samples: &Range<usize>| samples.start / side..samples.end.div_ceil(side);
        Self {
            plane: index,
            stride,
            samples: vec![0; stride * side * rows],
            width: plane.width,
            remaining_rows: plane.height,
            columns: blocks(&needed.columns),
            rows: blocks(&needed.rows),
            pending: vec![[[0; 16]; LANES]; if side == 4 { rows } else { 0 }],
        }
    }

    /// Whether a block has samples that are needed.
    #[inline(always)]
    pub(super) fn needs(&self, column: usize, row: usize) -> bool {
        self.columns.contains(&column) && self.rows.contains(&row)
    }

    /// Transforms a needed block to `SIDE` x `SIDE` samples; the blocks of a row arrive in order.
    #[inline(always)]
    pub(super) fn put<const SIDE: usize>(&mut self, column: usize, row: usize, coefficients: &[i32]) {
        let start = row * SIDE * self.stride;
        if SIDE != 4 {
            return idct::block::<SIDE>(coefficients, &mut self.samples[start + column * SIDE..], self.stride);
        }
        let (first, lane) = (column / LANES * LANES, column % LANES);
        let pending = &mut self.pending[row];
        pending[lane] = *coefficients.first_chunk().unwrap_or(&[0; 16]);
        if lane == LANES - 1 || column + 1 == self.columns.end {
            idct::idct_4x4(pending, &mut self.samples[start + first * SIDE..], self.stride);
        }
    }

    /// Writes the decoded rows to the sink.
    pub(super) fn emit(&mut self, sink: &mut dyn Sink) {
        for line in self.samples.chunks_exact(self.stride).take(self.remaining_rows) {
            sink.row(self.plane, &line[..self.width]);
        }
        self.remaining_rows = self.remaining_rows.saturating_sub(self.samples.len() / self.stride);
    }
}
