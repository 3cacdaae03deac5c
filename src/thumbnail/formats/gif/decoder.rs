//! GIF: rows of the first frame on its screen, which is transparent elsewhere. The rows of an interlaced frame are not
//! in order, so all of its palette indices are buffered.

use std::io::Cursor;

use image::metadata::Orientation;

use super::super::buffer;
use super::super::codec::RowDecoder;
use super::frame::{self, FirstFrame};
use super::lzw::Lzw;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Area, Depth, Goal, Header, Model, Plane, Sink};

/// First row and distance of the rows of each pass (GIF89a, appendix E).
const PASSES: [(usize, usize); 4] = [(0, 8), (4, 8), (2, 4), (1, 2)];

/// A GIF that is read up to the pixels of its first frame.
pub(super) struct GifDecoder<'a> {
    header: Header,
    frame: FirstFrame,
    /// RGBA by palette index.
    colours: [[u8; 4]; 256],
    pixels: Lzw<'a>,
    limits: Limits,
}

/// Reads the headers.
pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<GifDecoder<'a>, Error> {
    let frame = frame::first(&mut Cursor::new(bytes))?;
    let data = usize::try_from(frame.data).ok().and_then(|data| bytes.get(data..)).unwrap_or_default();
    let mut colours = frame.colours.map(|[red, green, blue]| [red, green, blue, u8::MAX]);
    if let Some(index) = frame.transparent {
        colours[usize::from(index)][3] = 0;
    }
    let (width, height) = (frame.screen.width as usize, frame.screen.height as usize);
    let opaque = frame.transparent.is_none() && (frame.width, frame.height) == (width, height);
    let header = Header {
        width,
        height,
        model: if opaque { Model::Rgb } else { Model::Rgba },
        depth: Depth::U8,
        premultiplied: false,
        // Browsers and libvips ignore the profile of an application extension.
        icc: None,
        orientation: Orientation::NoTransforms,
    };
    let pixels = Lzw::new(data, frame.literal_bits);
    Ok(GifDecoder { header, frame, colours, pixels, limits: *limits })
}

impl GifDecoder<'_> {
    /// Writes a row of the frame into a row of the screen.
    fn paint(&self, indices: &[u8], row: &mut [u8]) {
        let colours = indices.iter().map(|&index| self.colours[usize::from(index)]);
        let channels = self.header.model.channels();
        let pixels = row.chunks_exact_mut(channels).skip(self.frame.left);
        for (pixel, colour) in pixels.zip(colours) {
            pixel.copy_from_slice(&colour[..channels]);
        }
    }

    /// Palette indices of an interlaced frame.
    fn deinterlaced(&mut self) -> Result<Vec<u8>, Error> {
        let FirstFrame { width, height, .. } = self.frame;
        let mut indices = buffer::zeroed((width * height) as u64, &self.limits)?;
        for row in PASSES.iter().flat_map(|&(first, step)| (first..height).step_by(step)) {
            self.pixels.read(&mut indices[row * width..(row + 1) * width])?;
        }
        Ok(indices)
    }
}

impl RowDecoder for GifDecoder<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, _: Goal) -> Vec<Plane> {
        vec![self.header.plane()]
    }

    fn decode(&mut self, _: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        let indices = if self.frame.interlaced { self.deinterlaced()? } else { Vec::new() };
        let mut buffered = indices.chunks_exact(self.frame.width);
        let mut next = vec![0; self.frame.width];
        let mut row = vec![0; self.header.stride()];
        for _ in 0..self.frame.top {
            sink.row(0, &row);
        }
        for _ in 0..self.frame.height {
            match buffered.next() {
                Some(indices) => self.paint(indices, &mut row),
                None => {
                    self.pixels.read(&mut next)?;
                    self.paint(&next, &mut row);
                }
            }
            sink.row(0, &row);
        }
        row.fill(0);
        for _ in self.frame.top + self.frame.height..self.header.height {
            sink.row(0, &row);
        }
        Ok(())
    }
}
