//! GIF through the `gif` crate, row by row, as palette indices. The rows of an interlaced frame are not in order, so
//! all of its indices are buffered.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError};
use image::metadata::Orientation;

use super::super::buffer;
use super::super::codec::RowDecoder;
use crate::thumbnail::error::Error;
use crate::thumbnail::limits::Limits;
use crate::thumbnail::raster::{Area, Depth, Goal, Header, Model, Plane, Sink};

/// A GIF that is read up to the pixels of its first frame.
pub(super) struct GifDecoder<'a> {
    header: Header,
    decoder: Decoder<Cursor<&'a [u8]>>,
    frame: Frame,
    /// RGBA by palette index; transparent beyond the palette.
    colours: [[u8; 4]; 256],
    limits: Limits,
}

/// Position of the frame on the logical screen, which is transparent elsewhere.
struct Frame {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    interlaced: bool,
}

/// Reads the headers.
pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<GifDecoder<'a>, Error> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let mut decoder = options.read_info(Cursor::new(bytes)).map_err(decode_error)?;
    let info = decoder.next_frame_info().map_err(decode_error)?.ok_or_else(|| Error::corrupt("no frame"))?;
    let [left, top, width, height] = [info.left, info.top, info.width, info.height].map(usize::from);
    let (frame, transparent) = (Frame { left, top, width, height, interlaced: info.interlaced }, info.transparent);
    // The probed size is that of the screen, not of the frame.
    if (width * height) as u64 > limits.max_pixels {
        return Err(Error::TooMuchMemory);
    }
    if width * height == 0 {
        return Err(Error::corrupt("an empty frame"));
    }
    let mut colours = [[0; 4]; 256];
    let palette = decoder.palette().map_err(decode_error)?;
    for (index, (colour, rgb)) in colours.iter_mut().zip(palette.as_chunks::<3>().0).enumerate() {
        let alpha = if transparent.map(usize::from) == Some(index) { 0 } else { u8::MAX };
        *colour = [rgb[0], rgb[1], rgb[2], alpha];
    }
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let opaque = colours.iter().all(|colour| colour[3] == u8::MAX);
    let header = Header {
        width: screen.0,
        height: screen.1,
        model: if opaque && frame.covers(screen) { Model::Rgb } else { Model::Rgba },
        depth: Depth::U8,
        premultiplied: false,
        icc: decoder.icc_profile().map(<[u8]>::to_vec),
        orientation: Orientation::NoTransforms,
    };
    Ok(GifDecoder { header, decoder, frame, colours, limits: *limits })
}

impl Frame {
    fn covers(&self, (width, height): (usize, usize)) -> bool {
        self.left == 0 && self.top == 0 && self.width >= width && self.height >= height
    }
}

impl GifDecoder<'_> {
    /// Writes the visible part of a frame row.
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
        let mut indices = buffer::zeroed((self.frame.width * self.frame.height) as u64, &self.limits)?;
        self.decoder.read_into_buffer(&mut indices).map_err(decode_error)?;
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
        let mut painted = 0;
        for _ in 0..self.frame.top.min(self.header.height) {
            sink.row(0, &row);
            painted += 1;
        }
        // Rows below the screen are not visible, but must be present.
        for _ in 0..self.frame.height {
            if let Some(indices) = buffered.next() {
                next.copy_from_slice(indices);
            } else if !self.decoder.fill_buffer(&mut next).map_err(decode_error)? {
                return Err(Error::corrupt("too few pixels in the frame"));
            }
            if painted < self.header.height {
                self.paint(&next, &mut row);
                sink.row(0, &row);
                painted += 1;
            }
        }
        row.fill(0);
        for _ in painted..self.header.height {
            sink.row(0, &row);
        }
        Ok(())
    }
}

fn decode_error(error: DecodingError) -> Error {
    match error {
        DecodingError::Io(source) => Error::decoder_io(source),
        DecodingError::UnexpectedEof => Error::Truncated,
        DecodingError::OutOfMemory | DecodingError::MemoryLimit => Error::TooMuchMemory,
        other => Error::corrupt(other),
    }
}
