//! PNG through the `png` crate, row by row, in memory for a few rows. Of an interlaced image, the needed pixels or the
//! averages of boxes are buffered.

use std::io::{BufRead, ErrorKind, Read, Seek};
use std::rc::Rc;

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Info, Reader, Transformations};

use super::super::buffer;
use super::super::codec::RowDecoder;
use super::adam7::{self, Boxes, Canvas};
use super::chunks::{DecoderInput, Defects};
use super::tone_curve::ToneCurve;
use super::{MAX_CHUNK_BYTES, checksum, colour};
use crate::error::Error;
use crate::limits::Limits;
use crate::orientation;
use crate::profile::MAX_PROFILE_BYTES;
use crate::raster::{Area, Depth, Goal, Header, Model, Plane, Sink};

/// Limit for a chunk of metadata, the decompressed ICC profile and the rows of the decoder together.
const MAX_DECODER_BYTES: usize = MAX_CHUNK_BYTES as usize + MAX_PROFILE_BYTES + (1 << 20);

/// Minimum number of box averages per thumbnail pixel in each direction; at two, the blur of the boxes is not visible
/// after Lanczos.
const MIN_SAMPLES_PER_PIXEL: f64 = 2.0;

/// A PNG that is read up to its first pixel.
pub(super) struct PngDecoder<F: BufRead + Seek, S: Read + Seek> {
    header: Header,
    reader: Reader<DecoderInput<F>>,
    defects: Rc<Defects>,
    /// The same file, to read it again.
    second: S,
    /// The conversion of the file's samples, and a row of them before it.
    curve: Option<(ToneCurve, Vec<u8>)>,
    /// Type of the samples of the file, or after conversion.
    depth: Depth,
    /// The emitted plane; of an interlaced image, it can consist of box averages.
    plane: Plane,
    limits: Limits,
}

/// Reads the chunks before the pixels.
pub(super) fn open<F: BufRead + Seek, S: Read + Seek>(
    file: F,
    second: S,
    limits: &Limits,
) -> Result<PngDecoder<F, S>, Error> {
    let (input, defects) = DecoderInput::new(file).map_err(|source| Error::Read { source })?;
    let mut decoder = Decoder::new_with_options(input, DecodeOptions::default());
    decoder.set_limits(png::Limits { bytes: MAX_DECODER_BYTES });
    // Expands palettes to colours, and samples of fewer than 8 bits to 8.
    decoder.set_transformations(Transformations::EXPAND);
    let reader = decoder.read_info().map_err(decode_error)?;
    let info = reader.info();
    let (model, depth) = layout(reader.output_color_type()).ok_or(Error::Unsupported("This colour depth"))?;
    let space = colour::space(info, model, depth);
    let depth = if space.curve.is_some() { Depth::U16 } else { depth };
    let header = Header {
        width: info.width as usize,
        height: info.height as usize,
        model,
        depth,
        premultiplied: false,
        icc: space.icc,
        orientation: orientation::from_exif(info.exif_metadata.as_deref()),
    };
    let curve = space.curve.map(|curve| (curve, vec![0; reader.output_line_size(info.width).unwrap_or_default()]));
    let plane = header.plane();
    Ok(PngDecoder { header, reader, defects, second, curve, depth, plane, limits: *limits })
}

fn layout((color, bits): (ColorType, BitDepth)) -> Option<(Model, Depth)> {
    let model = match color {
        ColorType::Grayscale => Model::Grey,
        ColorType::GrayscaleAlpha => Model::GreyAlpha,
        ColorType::Rgb => Model::Rgb,
        ColorType::Rgba => Model::Rgba,
        ColorType::Indexed => return None,
    };
    match bits {
        BitDepth::Eight => Some((model, Depth::U8)),
        BitDepth::Sixteen => Some((model, Depth::U16)),
        BitDepth::One | BitDepth::Two | BitDepth::Four => None,
    }
}

impl<F: BufRead + Seek, S: Read + Seek> PngDecoder<F, S> {
    /// Assembles the needed area of an interlaced image, or averages its boxes.
    fn interlaced(&mut self, area: Area, sink: &mut dyn Sink) -> Result<(), Error> {
        let Plane { width, height, x_step, channels, .. } = self.plane;
        let (stored, emitted) = (channels * self.depth.bytes(), channels * self.header.depth.bytes());
        let mut row = vec![0; width * emitted];
        let mut emit = |needed: &[u8]| {
            row[area.columns.start * emitted..][..needed.len()].copy_from_slice(needed);
            sink.row(0, &row);
        };
        (0..area.rows.start).for_each(|_| emit(&[]));
        if x_step > 1.0 {
            let mut boxes =
                Boxes::new(x_step as usize, area.clone(), channels, self.depth, self.header.model.has_alpha());
            self.passes(stored, |row, pixels| boxes.put(row, pixels))?;
            boxes.rows(self.header.width, self.header.height).for_each(|means| emit(&means));
        } else {
            let bytes = buffer::zeroed(Canvas::bytes(&area, stored), &self.limits)?;
            let mut canvas = Canvas::new(area.clone(), stored, bytes);
            self.passes(stored, |row, pixels| canvas.put(row, pixels))?;
            for pixels in canvas.rows() {
                let mut pixels = pixels.to_vec();
                to_native(&mut pixels, self.depth);
                emit(&pixels);
            }
        }
        (area.rows.end..height).for_each(|_| emit(&[]));
        Ok(())
    }

    /// Reads all passes; a pixel has `pixel` bytes.
    fn passes(&mut self, pixel: usize, mut put: impl FnMut(adam7::Row, &[u8])) -> Result<(), Error> {
        let mut bytes = vec![0; self.header.width * pixel];
        for row in adam7::rows(self.header.width, self.header.height) {
            self.read_row(&mut bytes)?;
            put(row, &bytes[..row.pixels * pixel]);
        }
        self.finish(&mut bytes)
    }

    /// Reads a row of big-endian samples.
    fn read_row(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let stored = self.curve.as_mut().map_or(&mut *bytes, |(_, stored)| stored);
        match self.reader.read_row(stored).map_err(decode_error) {
            Ok(Some(_)) => {
                if let Some((curve, stored)) = &self.curve {
                    curve.convert(stored, bytes);
                }
                Ok(())
            }
            Ok(None) => Err(Error::corrupt("too few rows")),
            // The decoder gets an end chunk nevertheless.
            Err(Error::Corrupt { .. }) if self.defects.truncated.get() => Err(Error::Truncated),
            Err(error) => Err(error),
        }
    }

    /// Reads the rest of the image data after the last row, and verifies the rows if it has a wrong CRC. The file may
    /// end before that; the chunks that follow are not read.
    fn finish(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        if self.reader.read_row(bytes).map_err(decode_error)?.is_some() {
            return Err(Error::corrupt("too many rows"));
        }
        let length = image_data_bytes(self.reader.info());
        let frame = self.defects.frame.get();
        if self.defects.wrong_crc.get() && !checksum::rows_are_intact(&mut self.second, frame, length)? {
            return Err(Error::corrupt("wrong checksums of the image data"));
        }
        Ok(())
    }
}

/// Length of the decompressed image data, with the filter types of the rows.
fn image_data_bytes(info: &Info) -> u64 {
    let row = |pixels: u32| info.raw_row_length_from_width(pixels) as u64;
    match info.interlaced {
        true => adam7::rows(info.width as usize, info.height as usize).map(|pass| row(pass.pixels as u32)).sum(),
        false => row(info.width) * u64::from(info.height),
    }
}

impl<F: BufRead + Seek, S: Read + Seek> RowDecoder for PngDecoder<F, S> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, goal: Goal) -> Vec<Plane> {
        let side = (goal.step / MIN_SAMPLES_PER_PIXEL) as usize;
        if self.reader.info().interlaced && side > 1 {
            // A last box of less than half its size is dropped.
            let boxes = |pixels: usize| ((pixels + side / 2) / side).max(1);
            self.plane = Plane {
                width: boxes(self.header.width),
                height: boxes(self.header.height),
                x_step: side as f64,
                y_step: side as f64,
                ..self.plane
            };
            self.header.depth = Depth::F32;
            self.header.premultiplied = self.header.model.has_alpha();
        }
        vec![self.plane]
    }

    fn decode(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let row = self.header.width * self.header.model.channels() * self.depth.bytes();
        let stored = self.curve.as_ref().map_or(row, |(curve, _)| curve.stored_bytes(self.header.width));
        if self.reader.output_line_size(self.reader.info().width) != Some(stored) {
            return Err(Error::corrupt("the decoder and the header disagree on the row size"));
        }
        if self.reader.info().interlaced {
            let area = needed.first().ok_or_else(|| Error::corrupt("no area is needed"))?.clone();
            return self.interlaced(area, sink);
        }
        let mut bytes = vec![0; row];
        for _ in 0..self.header.height {
            self.read_row(&mut bytes)?;
            to_native(&mut bytes, self.depth);
            sink.row(0, &bytes);
        }
        self.finish(&mut bytes)
    }
}

/// PNG samples are big-endian.
fn to_native(row: &mut [u8], depth: Depth) {
    if depth == Depth::U16 {
        row.as_chunks_mut::<2>().0.iter_mut().for_each(|word| *word = u16::from_be_bytes(*word).to_ne_bytes());
    }
}

fn decode_error(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(source) if source.kind() == ErrorKind::UnexpectedEof => Error::Truncated,
        // The chunks for which the decoder returns such an error itself do not reach it.
        DecodingError::IoError(source) => Error::Read { source },
        DecodingError::LimitsExceeded => Error::TooMuchMemory,
        other => Error::corrupt(other),
    }
}
