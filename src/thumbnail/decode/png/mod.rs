//! PNG by the `png` crate, row by row, so that a few rows are all the memory that it takes. Of an interlaced picture, those
//! pixels are held that a thumbnail needs, or their means.

mod adam7;

use std::io::{BufRead, Seek};

use adam7::{Boxes, Canvas};
use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Reader, Transformations};

use super::{Area, Depth, Goal, Header, Plane, Sink, Source, buffer, ended};
use crate::thumbnail::colour::Model;
use crate::thumbnail::{Error, Limits, orientation};

/// The most that a profile, an EXIF block and the decoder's own rows may take together.
const HEADER_BYTES: usize = 8 << 20;

/// How many means are left of an interlaced picture for each pixel of a thumbnail, at least. Lanczos hides what a box
/// blurs.
const KEPT: f64 = 2.0;

/// A PNG that is read up to its first pixel.
pub(super) struct Png<F: BufRead + Seek> {
    header: Header,
    reader: Reader<F>,
    /// How the numbers are stored in the file.
    depth: Depth,
    /// What is given: of an interlaced picture, the means of boxes.
    plane: Plane,
    limits: Limits,
}

/// Reads what stands before the pixels.
pub(super) fn open<F: BufRead + Seek>(file: F, limits: &Limits) -> Result<Png<F>, Error> {
    let mut options = DecodeOptions::default();
    options.set_ignore_text_chunk(true);
    let mut decoder = Decoder::new_with_options(file, options);
    decoder.set_limits(png::Limits { bytes: HEADER_BYTES });
    // Palettes become colours, and fewer than 8 bits become 8.
    decoder.set_transformations(Transformations::EXPAND);
    let reader = decoder.read_info().map_err(refused)?;
    let info = reader.info();
    let (model, depth) = layout(reader.output_color_type()).ok_or(Error::Unsupported("This depth of colour"))?;
    let header = Header {
        width: info.width as usize,
        height: info.height as usize,
        model,
        depth,
        premultiplied: false,
        icc: info.icc_profile.as_ref().map(|icc| icc.to_vec()),
        orientation: orientation::from_exif(info.exif_metadata.as_deref()),
    };
    let plane = header.plane();
    Ok(Png { header, reader, depth, plane, limits: *limits })
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

impl<F: BufRead + Seek> Png<F> {
    /// Puts the passes of an interlaced picture together, or adds them up in boxes, as far as the area needs them.
    fn interlaced(&mut self, area: Area, sink: &mut dyn Sink) -> Result<(), Error> {
        let Plane { width, height, across, channels, .. } = self.plane;
        let (stored, given) = (channels * self.depth.bytes(), channels * self.header.depth.bytes());
        let mut row = vec![0; width * given];
        let mut give = |needed: &[u8]| {
            row[area.across.start * given..][..needed.len()].copy_from_slice(needed);
            sink.row(0, &row);
        };
        (0..area.down.start).for_each(|_| give(&[]));
        if across > 1.0 {
            let mut boxes = Boxes::new(across as usize, area.clone(), channels, self.depth, self.header.model.alpha());
            self.passes(stored, |row, pixels| boxes.put(row, pixels))?;
            boxes.rows(self.header.width, self.header.height).for_each(|means| give(&means));
        } else {
            let bytes = buffer(Canvas::bytes(&area, stored), &self.limits)?;
            let mut canvas = Canvas::new(area.clone(), stored, bytes);
            self.passes(stored, |row, pixels| canvas.put(row, pixels))?;
            for pixels in canvas.rows() {
                let mut pixels = pixels.to_vec();
                to_native(&mut pixels, self.depth);
                give(&pixels);
            }
        }
        (area.down.end..height).for_each(|_| give(&[]));
        Ok(())
    }

    /// Reads all passes, whose pixels have this many bytes.
    fn passes(&mut self, pixel: usize, mut put: impl FnMut(adam7::Row, &[u8])) -> Result<(), Error> {
        let mut rows = adam7::rows(self.header.width, self.header.height);
        let mut bytes = vec![0; self.header.width * pixel];
        while self.reader.read_row(&mut bytes).map_err(refused)?.is_some() {
            let row = rows.next().ok_or_else(|| Error::corrupt("more rows than there are"))?;
            put(row, &bytes[..row.pixels * pixel]);
        }
        Ok(())
    }
}

impl<F: BufRead + Seek> Source for Png<F> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, goal: Goal) -> Vec<Plane> {
        let side = (goal.step / KEPT) as usize;
        if self.reader.info().interlaced && side > 1 {
            // A last box of less than half its size is left out.
            let boxes = |pixels: usize| ((pixels + side / 2) / side).max(1);
            self.plane = Plane {
                width: boxes(self.header.width),
                height: boxes(self.header.height),
                across: side as f64,
                down: side as f64,
                ..self.plane
            };
            self.header.depth = Depth::F32;
            self.header.premultiplied = self.header.model.alpha();
        }
        vec![self.plane]
    }

    fn read(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let row = self.header.width * self.header.model.channels() * self.depth.bytes();
        if self.reader.output_line_size(self.reader.info().width) != Some(row) {
            return Err(Error::corrupt("the decoder gives other rows than the header states"));
        }
        if self.reader.info().interlaced {
            let area = needed.first().ok_or_else(|| Error::corrupt("nothing is needed"))?.clone();
            return self.interlaced(area, sink);
        }
        let mut bytes = vec![0; row];
        // The last one reads what is left of the compressed data, and its checksum.
        while self.reader.read_row(&mut bytes).map_err(refused)?.is_some() {
            to_native(&mut bytes, self.depth);
            sink.row(0, &bytes);
        }
        Ok(())
    }
}

/// PNG's numbers begin with their high byte.
fn to_native(row: &mut [u8], depth: Depth) {
    if depth == Depth::U16 {
        row.as_chunks_mut::<2>().0.iter_mut().for_each(|word| *word = u16::from_be_bytes(*word).to_ne_bytes());
    }
}

fn refused(error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(source) => ended(source),
        DecodingError::LimitsExceeded => Error::TooMuchMemory,
        other => Error::corrupt(other),
    }
}
