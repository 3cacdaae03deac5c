//! YCbCr with fewer chroma than luma samples, without JPEG (TIFF 6.0, section 21).

use std::borrow::Cow;

use super::rows::{Decompressor, RowReader, read_exact};
use crate::error::Error;

/// Repeats chroma samples, as libtiff does.
pub(super) struct SubsampledReader<'a> {
    stream: Box<dyn Decompressor<'a> + 'a>,
    /// Width and height of a chroma sample in pixels.
    factors: (usize, usize),
    /// A row of data units: for each, its luma samples, Cb and Cr.
    units: Vec<u8>,
    /// The row of pixels in the units that is next.
    row: usize,
}

impl<'a> SubsampledReader<'a> {
    /// `width` is that of the strip or tile in pixels.
    pub(super) fn new(stream: Box<dyn Decompressor<'a> + 'a>, factors: (usize, usize), width: usize) -> Self {
        let units = vec![0; width.div_ceil(factors.0) * (factors.0 * factors.1 + 2)];
        Self { stream, factors, units, row: 0 }
    }
}

impl<'a> RowReader<'a> for SubsampledReader<'a> {
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        self.row = 0;
        self.stream.restart(bytes)
    }

    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Error> {
        let (x_factor, y_factor) = self.factors;
        let luma = x_factor * y_factor;
        if self.row == 0 {
            read_exact(&mut self.stream, &mut self.units)?;
        }
        for (pixels, unit) in row.chunks_mut(3 * x_factor).zip(self.units.chunks_exact(luma + 2)) {
            for (pixel, y) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(&unit[self.row * x_factor..]) {
                *pixel = [*y, unit[luma], unit[luma + 1]];
            }
        }
        self.row = (self.row + 1) % y_factor;
        Ok(())
    }
}
