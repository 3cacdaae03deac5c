//! From a file's bytes to a picture in memory, in the file's own colour model.

mod jpeg;
mod tiff;

use std::io::{self, Cursor};

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};

use super::colour::Model;
use super::orientation;
use super::{Error, Format, Limits, Probe};

/// A decoded picture: rows from the top, channels interleaved, nothing between rows.
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) model: Model,
    pub(super) depth: Depth,
    /// Whether colours are already multiplied by alpha.
    pub(super) premultiplied: bool,
    /// `width * height * model.channels() * depth.bytes()` bytes, numbers in the machine's byte order.
    pub(super) bytes: Vec<u8>,
    /// The embedded profile, unchecked.
    pub(super) icc: Option<Vec<u8>>,
    pub(super) orientation: Orientation,
}

/// How a channel's number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// 0 to 255.
    U8,
    /// 0 to 65535.
    U16,
    /// 0 to 1, though nothing keeps a file from other values.
    F32,
}

impl Depth {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }
}

/// Decodes the first frame or page. `probe` must be of the same bytes.
pub(super) fn decode(bytes: &[u8], probe: &Probe, limits: &Limits) -> Result<Picture, Error> {
    let reader = Cursor::new(bytes);
    let picture = match probe.format {
        Format::Jpeg => jpeg::decode(bytes, limits)?,
        Format::Tiff => tiff::decode(bytes, limits)?,
        Format::Png => {
            // What the header's chunks may take, all compressed ones together; the pixels are reserved below.
            let header = allowed(limits, METADATA_BYTES);
            whole(PngDecoder::with_limits(reader, header).map_err(refused)?, probe, limits)?
        }
        Format::WebP => whole(WebPDecoder::new(reader).map_err(refused)?, probe, limits)?,
        Format::Gif => whole(GifDecoder::new(reader).map_err(refused)?, probe, limits)?,
        Format::Bmp => whole(BmpDecoder::new(reader).map_err(refused)?, probe, limits)?,
    };
    if (picture.width, picture.height) != (probe.width as usize, probe.height as usize) {
        return Err(Error::corrupt("the decoder reads other dimensions than the header states"));
    }
    let pixel = picture.model.channels() * picture.depth.bytes();
    if picture.bytes.len() != picture.width * picture.height * pixel {
        return Err(Error::corrupt("the decoder gives another number of samples than the header states"));
    }
    Ok(picture)
}

/// The most that a PNG's profile, texts and row buffers may take together.
const METADATA_BYTES: u64 = 32 << 20;

/// Decodes with one of `image`'s decoders, which enforce nothing unless told so.
fn whole(mut decoder: impl ImageDecoder, probe: &Probe, limits: &Limits) -> Result<Picture, Error> {
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
    Ok(Picture {
        width: width as usize,
        height: height as usize,
        model,
        depth,
        premultiplied: false,
        bytes,
        icc,
        orientation,
    })
}

fn layout(color: ColorType) -> Option<(Model, Depth)> {
    Some(match color {
        ColorType::L8 => (Model::Grey, Depth::U8),
        ColorType::La8 => (Model::GreyAlpha, Depth::U8),
        ColorType::Rgb8 => (Model::Rgb, Depth::U8),
        ColorType::Rgba8 => (Model::Rgba, Depth::U8),
        ColorType::L16 => (Model::Grey, Depth::U16),
        ColorType::La16 => (Model::GreyAlpha, Depth::U16),
        ColorType::Rgb16 => (Model::Rgb, Depth::U16),
        ColorType::Rgba16 => (Model::Rgba, Depth::U16),
        ColorType::Rgb32F => (Model::Rgb, Depth::F32),
        ColorType::Rgba32F => (Model::Rgba, Depth::F32),
        _ => return None,
    })
}

/// A zeroed buffer, or an error where the allocator would abort the process.
fn buffer(bytes: u64, limits: &Limits) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(bytes).map_err(|_| Error::TooMuchMemory)?;
    let mut buffer = Vec::new();
    if bytes > limits.max_bytes() || buffer.try_reserve_exact(length).is_err() {
        return Err(Error::TooMuchMemory);
    }
    buffer.resize(length, 0);
    Ok(buffer)
}

fn allowed(limits: &Limits, bytes: u64) -> image::Limits {
    let mut allowed = image::Limits::no_limits();
    allowed.max_image_width = Some(super::MAX_SIDE);
    allowed.max_image_height = Some(super::MAX_SIDE);
    allowed.max_alloc = Some(bytes.min(limits.max_bytes()));
    allowed
}

/// What `image` says, in our words.
fn refused(error: ImageError) -> Error {
    match error {
        ImageError::Limits(_) => Error::TooMuchMemory,
        ImageError::Unsupported(_) => Error::Unsupported("This variant of the format"),
        ImageError::IoError(source) => ended(source),
        other if ends_early(&other) => Error::Truncated,
        other => Error::corrupt(other),
    }
}

/// A failed read of bytes in memory can only be their end.
fn ended(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated,
        _ => Error::corrupt(source),
    }
}

/// Some decoders wrap the end of the file into an error of their own.
fn ends_early(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = error.source();
    }
    false
}
