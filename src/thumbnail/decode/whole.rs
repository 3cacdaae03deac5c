//! Pictures that are decoded in one piece, by those of `image`'s decoders that give no rows.

use image::ImageDecoder;

use super::{Area, Goal, Header, Plane, Sink, Source, buffer, layout, refused};
use crate::thumbnail::{Error, Limits, MAX_SIDE, Probe, orientation};

/// A picture that a decoder gave all at once: rows from the top, channels interleaved, nothing between rows.
pub(super) struct Whole {
    header: Header,
    bytes: Vec<u8>,
}

impl Whole {
    fn checked(self) -> Result<Self, Error> {
        if self.bytes.len() != self.header.stride() * self.header.height {
            return Err(Error::corrupt("the decoder gives another number of samples than the header states"));
        }
        Ok(self)
    }
}

impl Source for Whole {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, _: Goal) -> Vec<Plane> {
        vec![self.header.plane()]
    }

    fn read(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        self.bytes.chunks_exact(self.header.stride()).for_each(|row| sink.row(0, row));
        Ok(())
    }
}

/// Decodes with one of `image`'s decoders, which enforce nothing unless told so.
pub(super) fn whole(mut decoder: impl ImageDecoder, probe: &Probe, limits: &Limits) -> Result<Whole, Error> {
    let (width, height) = decoder.dimensions();
    if (width, height) != (probe.width, probe.height) {
        return Err(Error::corrupt("the decoder reads other dimensions than the header states"));
    }
    let (model, depth) = layout(decoder.color_type()).ok_or(Error::Unsupported("This depth of colour"))?;
    let total = decoder.total_bytes();
    let rest = limits.max_bytes().checked_sub(total).ok_or(Error::TooMuchMemory)?;
    decoder.set_limits(allowed(limits, rest)).map_err(refused)?;
    let icc = decoder.icc_profile().unwrap_or_default();
    let orientation = orientation::from_exif(decoder.exif_metadata().unwrap_or_default().as_deref());
    let mut bytes = buffer(total, limits)?;
    decoder.read_image(&mut bytes).map_err(refused)?;
    let (width, height) = (width as usize, height as usize);
    Whole { header: Header { width, height, model, depth, premultiplied: false, icc, orientation }, bytes }.checked()
}

fn allowed(limits: &Limits, bytes: u64) -> image::Limits {
    let mut allowed = image::Limits::no_limits();
    allowed.max_image_width = Some(MAX_SIDE);
    allowed.max_image_height = Some(MAX_SIDE);
    allowed.max_alloc = Some(bytes.min(limits.max_bytes()));
    allowed
}
