//! PNG by the `png` crate, row by row, so that a few rows are all the memory that it takes. The rows of an interlaced
//! picture are not whole before its last pass: it is held in memory, within the limits.

use std::io::Cursor;

use png::{BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Reader, Transformations};

use super::{Area, Depth, Goal, Header, Plane, Sink, Source, buffer, ended};
use crate::thumbnail::colour::Model;
use crate::thumbnail::{Error, Limits, orientation};

/// The most that a profile, an EXIF block and the decoder's own rows may take together.
const HEADER_BYTES: usize = 16 << 20;

/// A PNG that is read up to its first pixel.
pub(super) struct Png<'a> {
    header: Header,
    reader: Reader<Cursor<&'a [u8]>>,
    limits: Limits,
}

/// Reads what stands before the pixels.
pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Png<'a>, Error> {
    let mut options = DecodeOptions::default();
    options.set_ignore_text_chunk(true);
    let mut decoder = Decoder::new_with_options(Cursor::new(bytes), options);
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
    Ok(Png { header, reader, limits: *limits })
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

impl Png<'_> {
    /// Gives all rows of an interlaced picture, once they are whole.
    fn interlaced(&mut self, stride: usize, sink: &mut dyn Sink) -> Result<(), Error> {
        let total = (stride as u64).saturating_mul(self.header.height as u64);
        let mut samples = buffer(total, &self.limits)?;
        self.reader.next_frame(&mut samples).map_err(refused)?;
        for row in samples.chunks_exact_mut(stride) {
            to_native(row, self.header.depth);
            sink.row(0, row);
        }
        Ok(())
    }
}

impl Source for Png<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, _: Goal) -> Vec<Plane> {
        vec![self.header.plane()]
    }

    fn read(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let stride = self.header.stride();
        if self.reader.output_line_size(self.reader.info().width) != Some(stride) {
            return Err(Error::corrupt("the decoder gives other rows than the header states"));
        }
        if self.reader.info().interlaced {
            return self.interlaced(stride, sink);
        }
        let mut row = vec![0; stride];
        // The last one reads what is left of the compressed data, and its checksum.
        while self.reader.read_row(&mut row).map_err(refused)?.is_some() {
            to_native(&mut row, self.header.depth);
            sink.row(0, &row);
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
