//! Conversion of samples from the tone curve of a file to that of sRGB before pixels are averaged: the mean of samples of
//! another curve has another lightness.

use crate::profile::srgb_encoded;
use crate::raster::{Depth, Model};

/// The sRGB samples of a file's samples. Alpha is kept.
pub(super) struct ToneCurve {
    /// For each sample of the file, the sample of 16 bits.
    table: Vec<u16>,
    depth: Depth,
    channels: usize,
    colours: usize,
}

impl ToneCurve {
    /// A curve from samples to light, both from 0 to 1; `None` if it is close to that of sRGB, as in most files.
    pub(super) fn new(light: impl Fn(f64) -> f64, model: Model, depth: Depth) -> Option<Self> {
        /// The difference up to which the mean of samples looks the same.
        const TOLERANCE: f64 = 0.05;
        let srgb = |sample: f64| srgb_encoded(light(sample).clamp(0.0, 1.0));
        if (0..=64).map(|at| f64::from(at) / 64.0).all(|sample| (srgb(sample) - sample).abs() < TOLERANCE) {
            return None;
        }
        let max = if depth == Depth::U8 { u16::from(u8::MAX) } else { u16::MAX };
        let table = (0..=max).map(|sample| (srgb(f64::from(sample) / f64::from(max)) * 65_535.0).round() as u16);
        let channels = model.channels();
        let colours = channels - usize::from(model.has_alpha());
        Some(Self { table: table.collect(), depth, channels, colours })
    }

    /// Bytes of a row of samples of the file.
    pub(super) fn stored_bytes(&self, width: usize) -> usize {
        width * self.channels * self.depth.bytes()
    }

    /// Converts pixels, big-endian as in PNG, to big-endian samples of 16 bits.
    pub(super) fn convert(&self, stored: &[u8], target: &mut [u8]) {
        let samples = stored.chunks_exact(self.depth.bytes()).zip(target.as_chunks_mut::<2>().0);
        for (at, (sample, target)) in samples.enumerate() {
            let is_colour = at % self.channels < self.colours;
            let converted = match *sample {
                [sample] if is_colour => self.table[usize::from(sample)],
                [sample] => u16::from(sample) * 257,
                [high, low] if is_colour => self.table[usize::from(u16::from_be_bytes([high, low]))],
                [high, low] => u16::from_be_bytes([high, low]),
                _ => continue,
            };
            *target = converted.to_be_bytes();
        }
    }
}
