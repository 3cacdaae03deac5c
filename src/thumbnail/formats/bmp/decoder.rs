//! BMP through the decoder of the `image` crate, a few rows at a time: an uncompressed file is split into bitmaps of
//! one band each, which are decoded as files of their own. Compressed files are decoded at once.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageResult};

use super::super::codec::RowDecoder;
use super::super::image_adapter::{decode_error, layout};
use crate::thumbnail::error::Error;
use crate::thumbnail::raster::{Area, Goal, Header, Plane, Sink};

/// Decoded bytes of a band; a band has at least one row.
const BAND_BYTES: usize = 256 << 10;

/// Maximum size of the masks and the palette after the information header.
const MAX_COLOUR_BYTES: usize = 16 + 256 * 4;

/// An uncompressed BMP.
pub(super) struct BmpBands<'a> {
    header: Header,
    /// The header of the file, to which the rows of a band are appended.
    head: Vec<u8>,
    /// The pixel data of the file.
    pixels: &'a [u8],
    /// Bytes of a row of pixel data.
    stride: usize,
    top_down: bool,
}

/// Reads the header; `None` if the pixels are compressed.
pub(super) fn open(bytes: &[u8]) -> Result<Option<BmpBands<'_>>, Error> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(decode_error)?;
    let (width, height) = decoder.dimensions();
    let (model, depth) = layout(decoder.color_type()).ok_or(Error::Unsupported("This colour depth"))?;
    let word =
        |at: usize| bytes.get(at..at + 4).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word));
    let (information, offset) = (word(14), word(10));
    // BITMAPCOREHEADER has no compression; in later headers, 3 (BI_BITFIELDS) only adds channel masks.
    let (bits, compressed, top_down) = match information {
        12 => (word(24) & 0xffff, false, false),
        _ => (word(28) & 0xffff, ![0, 3].contains(&word(30)), word(22) as i32 <= 0),
    };
    if compressed {
        return Ok(None);
    }
    let end = (14 + information as usize + MAX_COLOUR_BYTES).min(bytes.len());
    let mut head = bytes[..end].to_vec();
    head[10..14].copy_from_slice(&(end as u32).to_le_bytes());
    let header = Header {
        width: width as usize,
        height: height as usize,
        model,
        depth,
        premultiplied: false,
        icc: None,
        orientation: Orientation::NoTransforms,
    };
    let pixels = bytes.get(offset as usize..).ok_or(Error::Truncated)?;
    let stride = (width as usize * bits as usize).div_ceil(32) * 4;
    Ok(Some(BmpBands { header, head, pixels, stride, top_down }))
}

impl BmpBands<'_> {
    /// Decodes `rows` rows from `top` on.
    fn band(&mut self, top: usize, rows: usize, samples: &mut [u8]) -> Result<(), Error> {
        let first = if self.top_down { top } else { self.header.height - top - rows };
        let pixels = self.pixels.get(first * self.stride..(first + rows) * self.stride).ok_or(Error::Truncated)?;
        match self.head[14] {
            12 => self.head[20..22].copy_from_slice(&(rows as u16).to_le_bytes()),
            _ => {
                let rows = if self.top_down { -(rows as i32) } else { rows as i32 };
                self.head[22..26].copy_from_slice(&rows.to_le_bytes());
            }
        }
        decode(&[&self.head, pixels].concat(), samples).map_err(decode_error)
    }
}

fn decode(file: &[u8], samples: &mut [u8]) -> ImageResult<()> {
    BmpDecoder::new(Cursor::new(file))?.read_image(samples)
}

impl RowDecoder for BmpBands<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, _: Goal) -> Vec<Plane> {
        vec![self.header.plane()]
    }

    fn decode(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let stride = self.header.stride();
        let band = (BAND_BYTES / stride).clamp(1, self.header.height);
        let mut samples = vec![0; band * stride];
        for top in (0..self.header.height).step_by(band) {
            let rows = band.min(self.header.height - top);
            self.band(top, rows, &mut samples[..rows * stride])?;
            samples.chunks_exact(stride).take(rows).for_each(|row| sink.row(0, row));
        }
        Ok(())
    }
}
