//! BMP by `image`'s decoder, a few rows at a time: what is not compressed is cut into bitmaps of a band each, which the
//! decoder takes for whole files. A compressed one is left to it in one piece.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageResult};

use super::{Area, Goal, Header, Plane, Sink, Source, layout, refused};
use crate::thumbnail::Error;

/// How many bytes of samples are decoded at once, if rows are not longer.
const BAND_BYTES: usize = 256 << 10;

/// The most that the masks and the palette behind the information header can take.
const COLOUR_BYTES: usize = 16 + 256 * 4;

/// An uncompressed bitmap whose header is read.
pub(super) struct Bmp<'a> {
    header: Header,
    /// The file's header, behind which the rows of a band are put.
    head: Vec<u8>,
    /// The file from its first pixel on.
    pixels: &'a [u8],
    /// Bytes of a row in the file.
    stride: usize,
    top_down: bool,
}

/// Reads what stands before the pixels; `None` if they are compressed.
pub(super) fn open(bytes: &[u8]) -> Result<Option<Bmp<'_>>, Error> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(refused)?;
    let (width, height) = decoder.dimensions();
    let (model, depth) = layout(decoder.color_type()).ok_or(Error::Unsupported("This depth of colour"))?;
    let word =
        |at: usize| bytes.get(at..at + 4).and_then(<[u8]>::first_chunk).map_or(0, |word| u32::from_le_bytes(*word));
    let (information, offset) = (word(14), word(10));
    // BITMAPCOREHEADER knows no compression; in the later ones, 3 means that only the channels' bits are given.
    let (bits, compressed, top_down) = match information {
        12 => (word(24) & 0xffff, false, false),
        _ => (word(28) & 0xffff, ![0, 3].contains(&word(30)), word(22) as i32 <= 0),
    };
    if compressed {
        return Ok(None);
    }
    let end = (14 + information as usize + COLOUR_BYTES).min(bytes.len());
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
    Ok(Some(Bmp { header, head, pixels, stride, top_down }))
}

impl Bmp<'_> {
    /// Decodes some rows, the first of which is `top`.
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
        decode(&[&self.head, pixels].concat(), samples).map_err(refused)
    }
}

fn decode(file: &[u8], samples: &mut [u8]) -> ImageResult<()> {
    BmpDecoder::new(Cursor::new(file))?.read_image(samples)
}

impl Source for Bmp<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, _: Goal) -> Vec<Plane> {
        vec![self.header.plane()]
    }

    fn read(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
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
