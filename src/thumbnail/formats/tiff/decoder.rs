//! TIFF through the `tiff` crate, band by band, without colour conversion, so that CMYK reaches its ICC profile. A page
//! with a single strip is buffered.

use std::borrow::Cow;
use std::io::Cursor;

use image::metadata::Orientation;
use tiff::decoder::{Decoder, Limits as TiffLimits};
use tiff::tags::{CompressionMethod, ExtraSamples, SampleFormat, Tag};
use tiff::{ColorType, TiffError};

use super::super::codec::RowDecoder;
use super::super::jpeg;
use super::bands::Bands;
use super::error::decode_error;
use super::workarounds;
use crate::thumbnail::error::Error;
use crate::thumbnail::limits::Limits;
use crate::thumbnail::raster::{Area, Depth, Goal, Header, Model, Plane, Sink};

/// Limit for the value of a tag in memory, where each byte of a profile takes 32.
const MAX_VALUE_BYTES: usize = 128 << 20;

/// A TIFF whose first directory is read.
pub(super) struct TiffDecoder<'a> {
    header: Header,
    decoder: Decoder<Cursor<Cow<'a, [u8]>>>,
    bands: Bands,
    limits: Limits,
}

/// Reads the first directory.
pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<TiffDecoder<'a>, Error> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(decode_error)?;
    let (width, height) = decoder.dimensions().map_err(decode_error)?;
    let format = pixel_format(&mut decoder)?;
    let (chunk_width, chunk_height) = decoder.chunk_dimensions();
    let bands = Bands {
        page: (width as usize, height as usize),
        chunk: (chunk_width as usize, chunk_height as usize),
        planes: decoder.image_buffer_layout().map_err(decode_error)?.planes,
        bits: format.bits.into(),
        channels: format.model.channels(),
    };
    if chunk_width == 0 || chunk_height == 0 || ![1, bands.channels].contains(&bands.planes) {
        return Err(Error::corrupt("empty strips or tiles"));
    }
    let rest = limits.max_bytes().checked_sub(bands.bytes()).ok_or(Error::TooMuchMemory)?;
    let mut bounds = TiffLimits::default();
    bounds.decoding_buffer_size = MAX_VALUE_BYTES;
    bounds.intermediate_buffer_size = usize::try_from(rest).unwrap_or(usize::MAX);
    bounds.ifd_value_size = MAX_VALUE_BYTES;
    decoder = decoder.with_limits(bounds.clone());
    check_jpegs(bytes, &mut decoder)?;
    let header = Header {
        width: width as usize,
        height: height as usize,
        model: format.model,
        depth: format.depth,
        icc: icc(&mut decoder)?,
        orientation: orientation(&mut decoder),
        premultiplied: premultiplied(&mut decoder),
    };
    let decoder = Decoder::new(Cursor::new(workarounds::patched(bytes, &mut decoder)?)).map_err(decode_error)?;
    Ok(TiffDecoder { header, decoder: decoder.with_limits(bounds), bands, limits: *limits })
}

impl RowDecoder for TiffDecoder<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, _: Goal) -> Vec<Plane> {
        vec![self.header.plane()]
    }

    fn decode(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let bits = self.bands.bits;
        let mut expanded = vec![0; if bits < 8 { self.header.width } else { 0 }];
        self.bands.read(&mut self.decoder, &self.limits, |row| {
            if bits < 8 {
                expand(row, bits, &mut expanded);
                sink.row(0, &expanded);
            } else {
                sink.row(0, row);
            }
        })
    }
}

struct PixelFormat {
    model: Model,
    depth: Depth,
    bits: u8,
}

fn pixel_format(decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<PixelFormat, Error> {
    const UNKNOWN: Error = Error::Unsupported("TIFF of this colour type");
    let (model, bits) = match decoder.colortype().map_err(decode_error)? {
        ColorType::Gray(bits) => (Model::Grey, bits),
        ColorType::GrayA(bits) => (Model::GreyAlpha, bits),
        ColorType::Multiband { bit_depth, num_samples: 2 } => (Model::GreyAlpha, bit_depth),
        ColorType::RGB(bits) => (Model::Rgb, bits),
        ColorType::RGBA(bits) => (Model::Rgba, bits),
        ColorType::YCbCr(bits) => (Model::YCbCr, bits),
        ColorType::CMYK(bits) => (Model::Cmyk { inverted: false }, bits),
        _ => return Err(UNKNOWN),
    };
    let formats = decoder.find_tag_unsigned_vec::<u16>(Tag::SampleFormat).map_err(decode_error)?.unwrap_or_default();
    let all = |format: SampleFormat| formats.iter().all(|&found| found == format.to_u16());
    let depth = match bits {
        1 | 2 | 4 if model == Model::Grey && all(SampleFormat::Uint) => Depth::U8,
        8 if all(SampleFormat::Uint) => Depth::U8,
        16 if all(SampleFormat::Uint) => Depth::U16,
        32 if !formats.is_empty() && all(SampleFormat::IEEEFP) => Depth::F32,
        _ => return Err(UNKNOWN),
    };
    Ok(PixelFormat { model, depth, bits })
}

/// Rejects an embedded JPEG that is larger than its strip or tile: its decoder would allocate for the larger size. A
/// frame header among the shared tables would bypass this check and is rejected too.
fn check_jpegs(bytes: &[u8], decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<(), Error> {
    if decoder.find_tag_unsigned(Tag::Compression).map_err(decode_error)?
        != Some(CompressionMethod::ModernJPEG.to_u16())
    {
        return Ok(());
    }
    let tables = decoder.get_tag_u8_vec(Tag::JPEGTables).unwrap_or_default();
    if jpeg::probe::size(&mut Cursor::new(tables)).is_ok() {
        return Err(Error::corrupt("a frame header among the JPEG tables"));
    }
    let (width, height) = decoder.chunk_dimensions();
    for chunk in workarounds::chunks(bytes, decoder)? {
        let jpeg = jpeg::probe::size(&mut Cursor::new(&bytes[chunk]))?;
        if jpeg.width > width || jpeg.height > height {
            return Err(Error::corrupt("a JPEG larger than its strip or tile"));
        }
    }
    Ok(())
}

/// Expands samples of 1, 2 or 4 bits to bytes of the full range.
fn expand(packed: &[u8], bits: usize, bytes: &mut [u8]) {
    let max = (1_u8 << bits) - 1;
    for (x, byte) in bytes.iter_mut().enumerate() {
        let bit = x * bits;
        *byte = (packed[bit / 8] >> (8 - bits - bit % 8) & max) * (255 / max);
    }
}

/// Ignores a malformed profile. A profile beyond the end of the file means that the file is truncated.
fn icc(decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Option<Vec<u8>>, Error> {
    match decoder.get_tag_u8_vec(Tag::IccProfile) {
        Err(TiffError::IoError(source)) => Err(Error::decoder_io(source)),
        other => Ok(other.ok()),
    }
}

fn orientation(decoder: &mut Decoder<Cursor<&[u8]>>) -> Orientation {
    let value = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
    value.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

/// Whether colours are multiplied by alpha (TIFF 6.0, section 18).
fn premultiplied(decoder: &mut Decoder<Cursor<&[u8]>>) -> bool {
    let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).ok().flatten().unwrap_or_default();
    extra.first() == Some(&ExtraSamples::AssociatedAlpha.to_u16())
}
