//! Unpacked bytes of a row to samples: predictors, byte order, bit packing, and types.

use super::super::buffer;
use super::page::{Page, Predictor};
use super::variant::{Photometric, SampleType};
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::Depth;

/// The samples of a row or band: the used channels of each pixel, interleaved.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Samples {
    /// Up to the largest number of a sample's bits, or up to 255.
    U8(Vec<u8>),
    /// Likewise, or up to 65535.
    U16(Vec<u16>),
    F32(Vec<f32>),
}

impl Samples {
    pub(super) fn zeroed(depth: Depth, count: usize, limits: &Limits) -> Result<Self, Error> {
        Ok(match depth {
            Depth::U8 => Self::U8(buffer::zeroed(count as u64, limits)?),
            Depth::U16 => Self::U16(buffer::zeroed(count as u64, limits)?),
            Depth::F32 => Self::F32(buffer::zeroed(count as u64, limits)?),
        })
    }
}

/// The depth that the samples of a page are unpacked to, and their largest value.
///
/// Numbers with a sign are clamped instead of scaled, as libvips does: to 0 and 255, or with 16 bits and in grey, to 0
/// and 65535.
pub(super) fn unpacked(page: &Page) -> (Depth, f32) {
    let grey = matches!(page.photometric, Photometric::Grey { .. });
    match (page.sample, page.bits) {
        (SampleType::Float, _) => (Depth::F32, 1.0),
        (SampleType::Signed, 16) if grey => (Depth::U16, 65535.0),
        (SampleType::Signed, _) => (Depth::U8, 255.0),
        (_, 17..) => (Depth::F32, u32::MAX as f32),
        (_, bits @ 9..) => (Depth::U16, ((1_u32 << bits) - 1) as f32),
        (_, bits) => (Depth::U8, ((1_u32 << bits) - 1) as f32),
    }
}

/// Unpacks rows of strips or tiles.
pub(super) struct Unpacker {
    predictor: Predictor,
    little_endian: bool,
    sample: SampleType,
    bits: usize,
    /// Channels per pixel in a strip or tile.
    channels: usize,
    /// For bytes by significance.
    copy: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new(page: &Page) -> Self {
        Self {
            predictor: page.predictor,
            little_endian: page.little_endian,
            sample: page.sample,
            bits: page.bits,
            channels: page.channels_per_chunk(),
            copy: Vec::new(),
        }
    }

    /// Undoes the predictor, and converts numbers of several bytes to the byte order of the machine.
    pub(super) fn unpredict(&mut self, row: &mut [u8]) {
        let bytes = self.bits / 8;
        if self.predictor == Predictor::Float {
            // All bytes are differences, of the highest bytes of all samples, then of the second highest, and so on.
            for at in self.channels..row.len() {
                row[at] = row[at].wrapping_add(row[at - self.channels]);
            }
            self.copy.clear();
            self.copy.extend_from_slice(row);
            let count = row.len() / bytes;
            for (index, sample) in row.chunks_exact_mut(bytes).enumerate() {
                let significance = |at| if cfg!(target_endian = "little") { bytes - 1 - at } else { at };
                (0..bytes).for_each(|at| sample[at] = self.copy[significance(at) * count + index]);
            }
            return;
        }
        if self.little_endian != cfg!(target_endian = "little") && matches!(self.bits, 16 | 32) {
            row.chunks_exact_mut(bytes).for_each(<[u8]>::reverse);
        }
        if self.predictor == Predictor::Horizontal {
            match (self.bits, self.channels) {
                (8, 1) => add_left::<1>(row),
                (8, 3) => add_left::<3>(row),
                (8, 4) => add_left::<4>(row),
                (8, channels) => {
                    (channels..row.len()).for_each(|at| row[at] = row[at].wrapping_add(row[at - channels]))
                }
                (16, channels) => {
                    let row = row.as_chunks_mut::<2>().0;
                    for at in channels..row.len() {
                        let sum = u16::from_ne_bytes(row[at]).wrapping_add(u16::from_ne_bytes(row[at - channels]));
                        row[at] = sum.to_ne_bytes();
                    }
                }
                (_, channels) => {
                    let row = row.as_chunks_mut::<4>().0;
                    for at in channels..row.len() {
                        let sum = u32::from_ne_bytes(row[at]).wrapping_add(u32::from_ne_bytes(row[at - channels]));
                        row[at] = sum.to_ne_bytes();
                    }
                }
            }
        }
    }

    /// Writes the samples of a channel to every `step`-th place from a pixel on. A channel has an index among those that
    /// are stored here, and one among those that are used.
    pub(super) fn place(
        &self,
        row: &[u8],
        (channel, to): (usize, usize),
        target: &mut Samples,
        first: usize,
        step: usize,
        count: usize,
    ) {
        let start = first * step + to;
        match target {
            Samples::U8(target) => self.place_bytes(row, channel, spread(target, start, step, count)),
            Samples::U16(target) => {
                let target = spread(target, start, step, count);
                match (self.sample, self.bits) {
                    (SampleType::Signed, _) => {
                        let samples = row.as_chunks::<2>().0.iter().skip(channel).step_by(self.channels);
                        let clamped = |bytes: &[u8; 2]| i16::from_ne_bytes(*bytes).max(0) as u16;
                        samples.zip(target).for_each(|(bytes, target)| *target = clamped(bytes));
                    }
                    (_, 16) => {
                        let samples = row.as_chunks::<2>().0.iter().skip(channel).step_by(self.channels);
                        samples.zip(target).for_each(|(bytes, target)| *target = u16::from_ne_bytes(*bytes));
                    }
                    _ => target
                        .enumerate()
                        .for_each(|(x, target)| *target = self.packed(row, x * self.channels + channel)),
                }
            }
            Samples::F32(target) => {
                let target = spread(target, start, step, count);
                if self.bits == 16 {
                    let samples = row.as_chunks::<2>().0.iter().skip(channel).step_by(self.channels);
                    samples.zip(target).for_each(|(bytes, target)| *target = half(u16::from_ne_bytes(*bytes)));
                } else {
                    let samples = row.as_chunks::<4>().0.iter().skip(channel).step_by(self.channels);
                    let unsigned = self.sample == SampleType::Unsigned;
                    let number =
                        |bytes| if unsigned { u32::from_ne_bytes(bytes) as f32 } else { f32::from_ne_bytes(bytes) };
                    samples.zip(target).for_each(|(bytes, target)| *target = number(*bytes));
                }
            }
        }
    }

    fn place_bytes<'a>(&self, row: &[u8], channel: usize, target: impl Iterator<Item = &'a mut u8>) {
        match (self.sample, self.bits) {
            (SampleType::Unsigned, 8) => {
                let samples = row.iter().skip(channel).step_by(self.channels);
                samples.zip(target).for_each(|(&byte, target)| *target = byte);
            }
            (SampleType::Unsigned, ..8) => {
                target
                    .enumerate()
                    .for_each(|(x, target)| *target = self.packed(row, x * self.channels + channel) as u8);
            }
            (_, 8) => {
                let samples = row.iter().skip(channel).step_by(self.channels);
                samples.zip(target).for_each(|(byte, target)| *target = byte.cast_signed().max(0).cast_unsigned());
            }
            (_, 16) => {
                let samples = row.as_chunks::<2>().0.iter().skip(channel).step_by(self.channels);
                samples
                    .zip(target)
                    .for_each(|(bytes, target)| *target = i16::from_ne_bytes(*bytes).clamp(0, 255) as u8);
            }
            _ => {
                let samples = row.as_chunks::<4>().0.iter().skip(channel).step_by(self.channels);
                samples
                    .zip(target)
                    .for_each(|(bytes, target)| *target = i32::from_ne_bytes(*bytes).clamp(0, 255) as u8);
            }
        }
    }

    /// The sample of this index in a row of fewer than 16 bits each.
    fn packed(&self, row: &[u8], index: usize) -> u16 {
        let first = index * self.bits;
        let byte = |at: usize| u32::from(row.get(first / 8 + at).copied().unwrap_or_default());
        let word = byte(0) << 24 | byte(1) << 16 | byte(2) << 8;
        (word << (first % 8) >> (32 - self.bits)) as u16
    }
}

/// Every `step`-th of the samples from `start` on, `count` in all.
fn spread<T>(samples: &mut [T], start: usize, step: usize, count: usize) -> impl Iterator<Item = &mut T> {
    samples.get_mut(start..).unwrap_or_default().iter_mut().step_by(step).take(count)
}

/// Adds to each sample that of the pixel at its left.
fn add_left<const N: usize>(row: &mut [u8]) {
    let mut left = [0_u8; N];
    for pixel in row.as_chunks_mut::<N>().0 {
        for (sample, left) in pixel.iter_mut().zip(&mut left) {
            *left = left.wrapping_add(*sample);
            *sample = *left;
        }
    }
}

/// A float of 16 bits (IEEE 754, binary16).
fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (bits >> 10 & 31, f32::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * (-24_f32).exp2(),
        31 => {
            if fraction == 0.0 {
                f32::INFINITY
            } else {
                f32::NAN
            }
        }
        _ => (1.0 + fraction / 1024.0) * (f32::from(exponent) - 15.0).exp2(),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}
