//! Decoders: from the bytes of a file to rows of samples in its colour model.

mod bmp;
mod buffered;
mod gif;
mod jpeg;
mod png;
#[cfg(test)]
mod tests;
mod tiff;
#[cfg(feature = "libwebp")]
mod webp;

use std::io::{self, BufReader, Cursor};

use image::codecs::{bmp::BmpDecoder, webp::WebPDecoder};
use image::{ColorType, ImageError};

pub(super) use jpeg::ReadSeek;

use super::error::Error;
use super::format::Format;
use super::limits::Limits;
use super::probe::Probe;
use super::raster::{Area, Depth, Goal, Header, Model, Plane, Sink};
use buffered::decode_all;

/// Read buffer of a streamed file.
const READ_BYTES: usize = 64 << 10;

/// An image whose header is read and whose pixels are not decoded yet.
pub(super) trait RowDecoder {
    fn header(&self) -> &Header;

    /// Chooses how much to shrink while decoding, at most as far as the goal allows. Returns either one plane with all
    /// channels interleaved, or one plane per channel.
    fn shrink(&mut self, goal: Goal) -> Vec<Plane>;

    /// Decodes and emits all rows of each plane from the top; planes may alternate. `needed` has the area of each plane
    /// that is used: samples outside of it are arbitrary, but their data must be present and valid.
    fn decode(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error>;
}

/// Opens the first frame or page. `probe` is the result for the same bytes.
pub(super) fn open<'a>(bytes: &'a [u8], probe: &Probe, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
    let decoder: Box<dyn RowDecoder + 'a> = match probe.format {
        Format::Jpeg => Box::new(jpeg::JpegDecoder::open(bytes, limits)?),
        Format::Tiff => Box::new(tiff::open(bytes, limits)?),
        Format::Png => Box::new(png::open(Cursor::new(bytes), limits)?),
        Format::WebP => webp(bytes, probe, limits)?,
        Format::Gif => Box::new(gif::open(bytes, limits)?),
        Format::Bmp => match bmp::open(bytes)? {
            Some(uncompressed) => Box::new(uncompressed),
            None => Box::new(decode_all(BmpDecoder::new(Cursor::new(bytes)).map_err(decode_error)?, probe, limits)?),
        },
    };
    check_size(decoder.header(), probe)?;
    Ok(decoder)
}

/// Opens a file at its start, if its format can be decoded without loading all of it. `probe` is the result for the
/// same file.
pub(super) fn stream<'a>(
    file: &'a mut dyn ReadSeek,
    probe: &Probe,
    limits: &Limits,
) -> Result<Option<Box<dyn RowDecoder + 'a>>, Error> {
    let decoder: Box<dyn RowDecoder + 'a> = match probe.format {
        Format::Jpeg => Box::new(jpeg::JpegDecoder::stream(file, limits)?),
        Format::Png => Box::new(png::open(BufReader::with_capacity(READ_BYTES, file), limits)?),
        Format::Tiff | Format::WebP | Format::Gif | Format::Bmp => return Ok(None),
    };
    check_size(decoder.header(), probe)?;
    Ok(Some(decoder))
}

fn check_size(header: &Header, probe: &Probe) -> Result<(), Error> {
    match header.has_size(probe.size()) {
        true => Ok(()),
        false => Err(Error::corrupt("the decoder and the header disagree on the dimensions")),
    }
}

/// Uses libwebp if it is built in and supports the image.
fn webp<'a>(bytes: &'a [u8], probe: &Probe, limits: &Limits) -> Result<Box<dyn RowDecoder + 'a>, Error> {
    #[cfg(feature = "libwebp")]
    if let Some(still) = webp::open(bytes, limits)? {
        return Ok(Box::new(still));
    }
    Ok(Box::new(decode_all(WebPDecoder::new(Cursor::new(bytes)).map_err(decode_error)?, probe, limits)?))
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

/// A zeroed buffer. Returns an error where a failed allocation would abort the process.
fn buffer(bytes: u64, limits: &Limits) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(bytes).map_err(|_| Error::TooMuchMemory)?;
    let mut buffer = Vec::new();
    if bytes > limits.max_bytes() || buffer.try_reserve_exact(length).is_err() {
        return Err(Error::TooMuchMemory);
    }
    buffer.resize(length, 0);
    Ok(buffer)
}

/// Maps an error of the `image` crate.
fn decode_error(error: ImageError) -> Error {
    match error {
        ImageError::Limits(_) => Error::TooMuchMemory,
        ImageError::Unsupported(_) => Error::Unsupported("This variant of the format"),
        ImageError::IoError(source) => io_error(source),
        other if is_unexpected_eof(&other) => Error::Truncated,
        other => Error::corrupt(other),
    }
}

/// Maps an I/O error of a decoder: only errors of the operating system are failed reads, others report invalid data.
fn io_error(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated,
        _ if source.raw_os_error().is_some() => Error::Read { source },
        _ => Error::corrupt(source),
    }
}

/// Whether an end of file is wrapped in the error of a decoder.
fn is_unexpected_eof(error: &(dyn std::error::Error + 'static)) -> bool {
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
