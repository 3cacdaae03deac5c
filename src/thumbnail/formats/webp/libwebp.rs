//! WebP through libwebp, which averages boxes of pixels while decoding and converts only the averages to RGB. It
//! buffers a few rows of a lossy image and all pixels of a lossless one. Animations are decoded by the `image` crate.

use webpx::{At, BitstreamFormat, Decoder, DecoderConfig, DecodingError};

use super::super::buffer;
use super::super::codec::RowDecoder;
use super::metadata;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Area, Depth, Goal, Header, Model, Plane, Sink};

/// Minimum number of decoded samples per thumbnail pixel in each direction; at two, the blur of the boxes is not
/// visible after Lanczos.
const MIN_SAMPLES_PER_PIXEL: f64 = 2.0;

/// The smallest box size that outweighs a second copy of the pixels.
const MIN_BOX_SIZE: f64 = 1.5;

/// A WebP without animation.
pub(super) struct LibwebpDecoder<'a> {
    header: Header,
    bytes: &'a [u8],
    /// Whether libwebp can average pixels: for lossy images with alpha it does not weight colours by alpha.
    can_shrink: bool,
    /// The decoded plane.
    plane: Plane,
    limits: Limits,
}

/// Reads the headers; `None` for an animation.
pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Option<LibwebpDecoder<'a>>, Error> {
    let decoder = Decoder::new(bytes).map_err(decode_error)?;
    let info = decoder.info();
    if info.has_animation {
        return Ok(None);
    }
    let header = Header {
        width: info.width as usize,
        height: info.height as usize,
        model: if info.has_alpha { Model::Rgba } else { Model::Rgb },
        depth: Depth::U8,
        premultiplied: false,
        icc: metadata::profile(bytes).map(<[u8]>::to_vec),
        orientation: metadata::orientation(bytes),
    };
    let can_shrink = info.format == BitstreamFormat::Lossless || !info.has_alpha;
    let plane = header.plane();
    Ok(Some(LibwebpDecoder { header, bytes, can_shrink, plane, limits: *limits }))
}

impl LibwebpDecoder<'_> {
    fn samples(&self) -> Result<Vec<u8>, Error> {
        let Plane { width, height, channels, .. } = self.plane;
        let row = (width * channels) as u32;
        // The size was checked when the header was probed.
        let config = DecoderConfig::new().limits(webpx::Limits::none());
        let decoder = Decoder::new(self.bytes).map_err(decode_error)?;
        if (width, height) != (self.header.width, self.header.height) {
            let decoder = decoder.config(config.scale(width as u32, height as u32));
            let decoded = if channels == 3 { decoder.decode_rgb_raw() } else { decoder.decode_rgba_raw() };
            return Ok(decoded.map_err(decode_error)?.0);
        }
        let mut samples = buffer::zeroed(u64::from(row).saturating_mul(height as u64), &self.limits)?;
        let decoder = decoder.config(config);
        match channels {
            3 => decoder.decode_rgb_into(&mut samples, row),
            _ => decoder.decode_rgba_into(&mut samples, row),
        }
        .map_err(decode_error)?;
        Ok(samples)
    }
}

impl RowDecoder for LibwebpDecoder<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, goal: Goal) -> Vec<Plane> {
        let Header { width, height, .. } = self.header;
        let factor = goal.step / MIN_SAMPLES_PER_PIXEL;
        if self.can_shrink && factor >= MIN_BOX_SIZE {
            let side = |pixels: usize| ((pixels as f64 / factor).ceil() as usize).clamp(1, pixels);
            (self.plane.width, self.plane.height) = (side(width), side(height));
            self.plane.x_step = width as f64 / self.plane.width as f64;
            self.plane.y_step = height as f64 / self.plane.height as f64;
        }
        vec![self.plane]
    }

    fn decode(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let row = self.plane.width * self.plane.channels;
        let samples = self.samples()?;
        if samples.len() != row * self.plane.height {
            return Err(Error::corrupt("unexpected number of decoded samples"));
        }
        samples.chunks_exact(row).for_each(|row| sink.row(0, row));
        Ok(())
    }
}

fn decode_error(error: At<webpx::Error>) -> Error {
    match error.decompose().0 {
        webpx::Error::DecodeFailed(DecodingError::Suspended | DecodingError::NotEnoughData) => Error::Truncated,
        webpx::Error::DecodeFailed(DecodingError::OutOfMemory) | webpx::Error::OutOfMemory => Error::TooMuchMemory,
        other => Error::corrupt(other),
    }
}
