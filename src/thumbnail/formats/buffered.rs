//! Images that are decoded at once, by decoders of the `image` crate that do not emit rows.

use image::ImageDecoder;
use image::metadata::Orientation;

use super::buffer;
use super::codec::RowDecoder;
use super::image_adapter::{decode_error, layout};
use crate::error::Error;
use crate::limits::{Limits, MAX_SIDE};
use crate::orientation;
use crate::raster::{Area, Goal, Header, Plane, Sink, Size};

/// A decoded image: rows from the top, channels interleaved, no padding.
pub(super) struct BufferedImage {
    header: Header,
    bytes: Vec<u8>,
}

impl BufferedImage {
    /// Replaces the metadata that the decoder found.
    pub(super) fn with_metadata(mut self, icc: Option<Vec<u8>>, orientation: Orientation) -> Self {
        (self.header.icc, self.header.orientation) = (icc, orientation);
        self
    }

    fn checked(self) -> Result<Self, Error> {
        if self.bytes.len() != self.header.stride() * self.header.height {
            return Err(Error::corrupt("unexpected number of decoded samples"));
        }
        Ok(self)
    }
}

impl RowDecoder for BufferedImage {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, _: Goal) -> Vec<Plane> {
        vec![self.header.plane()]
    }

    fn decode(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        self.bytes.chunks_exact(self.header.stride()).for_each(|row| sink.row(0, row));
        Ok(())
    }
}

/// Decodes an image. The decoders of the `image` crate have no limits by default.
pub(super) fn decode_all(mut decoder: impl ImageDecoder, size: Size, limits: &Limits) -> Result<BufferedImage, Error> {
    let (width, height) = decoder.dimensions();
    if (width, height) != (size.width, size.height) {
        return Err(Error::corrupt("the decoder and the header disagree on the dimensions"));
    }
    let (model, depth) = layout(decoder.color_type()).ok_or(Error::Unsupported("This colour depth"))?;
    let total = decoder.total_bytes();
    let rest = limits.max_bytes().checked_sub(total).ok_or(Error::TooMuchMemory)?;
    decoder.set_limits(decoder_limits(limits, rest)).map_err(decode_error)?;
    let icc = decoder.icc_profile().unwrap_or_default();
    let orientation = orientation::from_exif(decoder.exif_metadata().unwrap_or_default().as_deref());
    let mut bytes = buffer::zeroed(total, limits)?;
    decoder.read_image(&mut bytes).map_err(decode_error)?;
    let (width, height) = (width as usize, height as usize);
    let header = Header { width, height, model, depth, premultiplied: false, icc, orientation };
    BufferedImage { header, bytes }.checked()
}

fn decoder_limits(limits: &Limits, bytes: u64) -> image::Limits {
    let mut decoder_limits = image::Limits::no_limits();
    decoder_limits.max_image_width = Some(MAX_SIDE);
    decoder_limits.max_image_height = Some(MAX_SIDE);
    decoder_limits.max_alloc = Some(bytes.min(limits.max_bytes()));
    decoder_limits
}
