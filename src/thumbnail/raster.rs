//! Raster types that decoders, resize, colour conversion and encoders share.

use std::ops::Range;

use image::metadata::Orientation;

use super::orientation::{swaps, upright};

/// Dimensions in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Colour model: the meaning of the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    Grey,
    GreyAlpha,
    Rgb,
    Rgba,
    /// ITU-T T.871 (JFIF): BT.601 with the full range.
    YCbCr,
    /// 1 is full ink, or no ink if inverted.
    Cmyk {
        inverted: bool,
    },
    /// [`Cmyk`](Self::Cmyk) that is not inverted, with alpha.
    CmykAlpha,
    /// Adobe's YCCK: inverted CMYK, with the complement of CMY stored as YCbCr.
    Ycck,
}

impl Model {
    pub(crate) fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::GreyAlpha => 2,
            Self::Rgb | Self::YCbCr => 3,
            Self::Rgba | Self::Cmyk { .. } | Self::Ycck => 4,
            Self::CmykAlpha => 5,
        }
    }

    /// Whether the last channel is alpha.
    pub(crate) fn has_alpha(self) -> bool {
        matches!(self, Self::GreyAlpha | Self::Rgba | Self::CmykAlpha)
    }
}

/// Sample type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// 0 to 255.
    U8,
    /// 0 to 65535.
    U16,
    /// 0 to 1; a file can contain other values.
    F32,
}

impl Depth {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }
}

/// How to convert the samples of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) depth: Depth,
    /// Whether colours must still be multiplied by alpha.
    pub(crate) multiply: bool,
}

/// Properties of an image that are known before its pixels are decoded.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// In pixels, as stored.
    pub(crate) width: usize,
    /// In pixels, as stored.
    pub(crate) height: usize,
    pub(crate) model: Model,
    pub(crate) depth: Depth,
    /// Whether colours are multiplied by alpha.
    pub(crate) premultiplied: bool,
    /// The embedded ICC profile, not validated.
    pub(crate) icc: Option<Vec<u8>>,
    pub(crate) orientation: Orientation,
}

impl Header {
    /// Bytes of a row at full size, all channels interleaved.
    pub(crate) fn stride(&self) -> usize {
        self.width * self.model.channels() * self.depth.bytes()
    }

    /// The image at full size as one plane.
    pub(crate) fn plane(&self) -> Plane {
        let Self { width, height, model, .. } = *self;
        Plane { width, height, x_step: 1.0, y_step: 1.0, channels: model.channels() }
    }

    pub(crate) fn has_size(&self, size: Size) -> bool {
        (self.width, self.height) == (size.width as usize, size.height as usize)
    }
}

/// Geometry of a decoded plane. The planes of an image differ where chroma is subsampled; an image that is shrunk while
/// decoding is represented in the same way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plane {
    /// In samples, without those that lie less than half within the image.
    pub(crate) width: usize,
    /// In samples, likewise.
    pub(crate) height: usize,
    /// Width of a sample in pixels of the image.
    pub(crate) x_step: f64,
    /// Height of a sample in pixels of the image.
    pub(crate) y_step: f64,
    /// Interleaved channels: all channels of the model, or one.
    pub(crate) channels: usize,
}

/// A rectangle of samples of a plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) columns: Range<usize>,
    pub(crate) rows: Range<usize>,
}

/// The largest useful distance between decoded samples, in pixels of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Goal {
    pub(crate) step: f64,
    /// For chroma samples.
    pub(crate) chroma: f64,
}

/// Receives decoded rows.
pub(crate) trait Sink {
    /// The next row of a plane: `width` pixels in native byte order.
    fn row(&mut self, plane: usize, bytes: &[u8]);
}

/// Resized samples of one plane, from 0 to 1, channels interleaved, not premultiplied.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resized {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) samples: Vec<f32>,
}

/// Final pixels: sRGB, not premultiplied, rows from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Srgb {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgba: Vec<[u8; 4]>,
}

impl Srgb {
    pub(crate) fn is_opaque(&self) -> bool {
        self.rgba.iter().all(|&[_, _, _, alpha]| alpha == u8::MAX)
    }

    /// Applies the orientation.
    pub(crate) fn upright(self, orientation: Orientation) -> Self {
        let Self { width, height, rgba } = self;
        let rgba = upright(rgba, width, orientation);
        let (width, height) = if swaps(orientation) { (height, width) } else { (width, height) };
        Self { width, height, rgba }
    }

    /// Centres the pixels on a larger canvas of this colour.
    pub(crate) fn centred(self, (width, height): (usize, usize), colour: [u8; 4]) -> Self {
        let (left, top) = ((width - self.width) / 2, (height - self.height) / 2);
        let mut rgba = vec![colour; width * height];
        for (target, row) in rgba.chunks_exact_mut(width).skip(top).zip(self.rgba.chunks_exact(self.width)) {
            target[left..left + self.width].copy_from_slice(row);
        }
        Self { width, height, rgba }
    }
}

/// Final pixels in the layout of 4:2:0 JPEG: full-size luma, chroma at half the width and height, from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subsampled {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) planes: [Vec<f32>; 3],
}

/// Maps 0 to 1 to the nearest of 256 levels.
#[inline]
pub(crate) fn to_u8(sample: f32) -> u8 {
    (sample * 255.0 + 0.5) as u8
}
