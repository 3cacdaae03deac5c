//! BMP: rows of palette indices, of bytes, or of bit fields.

use super::headers::Headers;
use super::palette::Palette;
use crate::error::Error;

/// Uncompressed pixels.
pub(super) struct Uncompressed<'a> {
    pixels: &'a [u8],
    width: usize,
    bits: usize,
    /// Bytes from one row to the next, a multiple of 4.
    stride: usize,
    format: PixelFormat,
}

enum PixelFormat {
    Indices(Palette),
    /// Blue, green and red; with a fourth byte that is not used if there are 32 bits.
    Bytes,
    Fields(Box<[Field; 4]>),
}

impl<'a> Uncompressed<'a> {
    pub(super) fn new(file: &'a [u8], headers: &Headers) -> Result<Self, Error> {
        let pixels = file.get(headers.pixels..).unwrap_or_default();
        let (width, height) = (headers.size.width as usize, headers.size.height as usize);
        let bits = headers.bits as usize;
        let stride = (width * bits).div_ceil(32) * 4;
        let format = match (headers.bits, headers.masks) {
            (..=8, _) => PixelFormat::Indices(Palette::read(file, headers)),
            (24, _) | (32, [0xff_0000, 0xff00, 0xff, 0]) => PixelFormat::Bytes,
            (_, masks) => PixelFormat::Fields(Box::new(masks.map(Field::new))),
        };
        let mut uncompressed = Self { pixels, width, bits, stride, format };
        if uncompressed.row(height - 1).is_none() {
            return Err(Error::Truncated);
        }
        uncompressed.ignore_unused_alpha(height);
        Ok(uncompressed)
    }

    /// Bytes of a stored row, without the padding, which the last row may lack.
    fn row(&self, row: usize) -> Option<&'a [u8]> {
        let start = row * self.stride;
        self.pixels.get(start..start + (self.width * self.bits).div_ceil(8))
    }

    /// Many programs write a mask of alpha and 0 in all pixels: such an image is opaque.
    fn ignore_unused_alpha(&mut self, height: usize) {
        if let PixelFormat::Fields(fields) = &self.format
            && fields[3].mask != 0
        {
            let alpha = &fields[3];
            let used = |row: &[u8]| match self.bits {
                16 => row.as_chunks().0.iter().any(|&pixel| alpha.value(u16::from_le_bytes(pixel).into()) != 0),
                _ => row.as_chunks().0.iter().any(|&pixel| alpha.value(u32::from_le_bytes(pixel)) != 0),
            };
            if !(0..height).filter_map(|row| self.row(row)).any(used)
                && let PixelFormat::Fields(fields) = &mut self.format
            {
                fields[3] = Field::new(0);
            }
        }
    }

    pub(super) fn has_alpha(&self) -> bool {
        matches!(&self.format, PixelFormat::Fields(fields) if fields[3].mask != 0)
    }

    /// Converts a stored row to RGB, or RGBA if it [has alpha](Self::has_alpha).
    pub(super) fn decode(&self, row: usize, target: &mut [u8]) -> Result<(), Error> {
        let source = self.row(row).ok_or(Error::Truncated)?;
        match &self.format {
            PixelFormat::Indices(palette) => palette.unpack(source, self.bits, target.as_chunks_mut().0),
            PixelFormat::Bytes => {
                let pixels = source.chunks_exact(self.bits / 8);
                for (target, pixel) in target.as_chunks_mut().0.iter_mut().zip(pixels) {
                    *target = [pixel[2], pixel[1], pixel[0]];
                }
            }
            PixelFormat::Fields(fields) if self.bits == 16 => {
                let pixels = source.as_chunks().0.iter().map(|&pixel| u16::from_le_bytes(pixel).into());
                write_fields(fields, pixels, target);
            }
            PixelFormat::Fields(fields) => {
                let pixels = source.as_chunks().0.iter().map(|&pixel| u32::from_le_bytes(pixel));
                write_fields(fields, pixels, target);
            }
        }
        Ok(())
    }
}

fn write_fields(fields: &[Field; 4], pixels: impl Iterator<Item = u32>, target: &mut [u8]) {
    let [red, green, blue, alpha] = fields;
    if alpha.mask == 0 {
        for (target, pixel) in target.as_chunks_mut().0.iter_mut().zip(pixels) {
            *target = [red.value(pixel), green.value(pixel), blue.value(pixel)];
        }
    } else {
        for (target, pixel) in target.as_chunks_mut().0.iter_mut().zip(pixels) {
            *target = [red.value(pixel), green.value(pixel), blue.value(pixel), alpha.value(pixel)];
        }
    }
}

/// A channel in the bits of a pixel.
struct Field {
    mask: u32,
    shift: u32,
    /// Values from 0 to 255, by the upper 8 bits of the channel.
    values: [u8; 256],
}

impl Field {
    fn new(mask: u32) -> Self {
        let bits = mask.count_ones();
        let shift = if mask == 0 { 0 } else { mask.trailing_zeros() } + bits.saturating_sub(8);
        let most = (1 << bits.min(8)) - 1;
        let scaled = |value: usize| (value.min(most) * 255 + most / 2).checked_div(most).unwrap_or_default() as u8;
        Self { mask, shift, values: std::array::from_fn(scaled) }
    }

    #[inline]
    fn value(&self, pixel: u32) -> u8 {
        self.values[((pixel & self.mask) >> self.shift) as usize & 0xff]
    }
}
