//! From a file's bytes to the rows of its picture, in the file's own colour model.

mod bmp;
mod gif;
mod jpeg;
mod png;
#[cfg(test)]
mod tests;
mod tiff;
#[cfg(feature = "libwebp")]
mod webp;
mod whole;

use std::io::{self, BufReader, Cursor};
use std::ops::Range;

use image::codecs::{bmp::BmpDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{ColorType, ImageError};

pub(super) use jpeg::Seekable;

use super::colour::Model;
use super::{Error, Format, Limits, Probe};
use whole::whole;

/// How much of a file is read at once.
const READ_BYTES: usize = 64 << 10;

/// What is known of a picture before its pixels are decoded.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// In pixels, as stored.
    pub(super) width: usize,
    /// In pixels, as stored.
    pub(super) height: usize,
    pub(super) model: Model,
    pub(super) depth: Depth,
    /// Whether colours are already multiplied by alpha.
    pub(super) premultiplied: bool,
    /// The embedded profile, unchecked.
    pub(super) icc: Option<Vec<u8>>,
    pub(super) orientation: Orientation,
}

impl Header {
    /// How many bytes a row of the whole picture has, all channels interleaved.
    fn stride(&self) -> usize {
        self.width * self.model.channels() * self.depth.bytes()
    }

    /// The whole picture, not shrunk.
    fn plane(&self) -> Plane {
        let Self { width, height, model, .. } = *self;
        Plane { width, height, across: 1.0, down: 1.0, channels: model.channels() }
    }

    fn check(&self, probe: &Probe) -> Result<(), Error> {
        if (self.width, self.height) != (probe.width as usize, probe.height as usize) {
            return Err(Error::corrupt("the decoder reads other dimensions than the header states"));
        }
        Ok(())
    }
}

/// A picture whose header is read, and whose pixels are not.
pub(super) trait Source {
    fn header(&self) -> &Header;

    /// Chooses how much to shrink while decoding: as much as the goal allows, if at all. Either one plane comes, of all
    /// channels interleaved, or as many as there are channels.
    fn shrink(&mut self, goal: Goal) -> Vec<Plane>;

    /// Decodes, and gives all rows of each plane from the top; planes may take turns. Of each plane no more is used than
    /// `needed`: what lies outside may come as anything, but it must be there and must decode.
    fn read(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error>;
}

/// Takes what a source decodes.
pub(super) trait Sink {
    /// The next row of a plane: its `width` pixels, numbers in the machine's byte order.
    fn row(&mut self, plane: usize, bytes: &[u8]);
}

/// How far apart the samples may lie that a source gives, in pixels of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Goal {
    pub(super) step: f64,
    /// The same for chroma.
    pub(super) chroma: f64,
}

/// One plane that a source gives. Planes of one picture differ where chroma is subsampled, and a picture that is shrunk
/// while it is decoded is nothing else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plane {
    /// In samples; one that lies less than half on the picture is not counted.
    pub(super) width: usize,
    /// In samples, likewise.
    pub(super) height: usize,
    /// How many pixels of the picture a sample covers across.
    pub(super) across: f64,
    /// How many pixels of the picture a sample covers down.
    pub(super) down: f64,
    /// How many lie interleaved: all of the model's, or one.
    pub(super) channels: usize,
}

/// Columns and rows of a plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) across: Range<usize>,
    pub(super) down: Range<usize>,
}

/// How the samples of a row are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) depth: Depth,
    /// Whether colours must still be multiplied by alpha.
    pub(super) multiply: bool,
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

/// Opens the first frame or page. `probe` must be of the same bytes.
pub(super) fn open<'a>(bytes: &'a [u8], probe: &Probe, limits: &Limits) -> Result<Box<dyn Source + 'a>, Error> {
    let source: Box<dyn Source + 'a> = match probe.format {
        Format::Jpeg => Box::new(jpeg::Jpeg::open(bytes, limits)?),
        Format::Tiff => Box::new(tiff::open(bytes, limits)?),
        Format::Png => Box::new(png::open(Cursor::new(bytes), limits)?),
        Format::WebP => webp(bytes, probe, limits)?,
        Format::Gif => Box::new(gif::open(bytes, limits)?),
        Format::Bmp => match bmp::open(bytes)? {
            Some(uncompressed) => Box::new(uncompressed),
            None => Box::new(whole(BmpDecoder::new(Cursor::new(bytes)).map_err(refused)?, probe, limits)?),
        },
    };
    source.header().check(probe)?;
    Ok(source)
}

/// Opens a file that stands at its start, if its format can be decoded without holding all of it. `probe` must be of the
/// same file.
pub(super) fn stream<'a>(
    file: &'a mut dyn Seekable,
    probe: &Probe,
    limits: &Limits,
) -> Result<Option<Box<dyn Source + 'a>>, Error> {
    let source: Box<dyn Source + 'a> = match probe.format {
        Format::Jpeg => Box::new(jpeg::Jpeg::stream(file, limits)?),
        Format::Png => Box::new(png::open(BufReader::with_capacity(READ_BYTES, file), limits)?),
        Format::Tiff | Format::WebP | Format::Gif | Format::Bmp => return Ok(None),
    };
    source.header().check(probe)?;
    Ok(Some(source))
}

/// With libwebp where it is there, if it can.
fn webp<'a>(bytes: &'a [u8], probe: &Probe, limits: &Limits) -> Result<Box<dyn Source + 'a>, Error> {
    #[cfg(feature = "libwebp")]
    if let Some(still) = webp::open(bytes, limits)? {
        return Ok(Box::new(still));
    }
    Ok(Box::new(whole(WebPDecoder::new(Cursor::new(bytes)).map_err(refused)?, probe, limits)?))
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

/// A failed read is no fault of the picture only where the system says so; else it is the end of the bytes, or what a
/// decoder says of them.
fn ended(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated,
        _ if source.raw_os_error().is_some() => Error::Read { source },
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
