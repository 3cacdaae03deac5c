//! Strips and tiles that are images of another format: JPEG (TIFF Technical Note 2) or WebP.

use std::io::Cursor;

use super::super::buffer;
use super::super::codec::Codec;
use super::super::{jpeg, webp};
use super::page::Page;
use super::rows::RowReader;
use super::variant::Compression;
use crate::thumbnail::error::Error;
use crate::thumbnail::limits::Limits;
use crate::thumbnail::raster::{Area, Goal, Plane, Sink};

/// A decoded image of bytes, with a plane for each channel or for all.
pub(super) struct EmbeddedImage {
    planes: Planes,
    height: usize,
    /// Channels per pixel of the page.
    channels: usize,
    /// Index of the next row.
    row: usize,
}

/// Collects the rows of each plane.
struct Planes(Vec<(Plane, Vec<u8>, usize)>);

impl Sink for Planes {
    fn row(&mut self, plane: usize, bytes: &[u8]) {
        if let Some((_, samples, filled)) = self.0.get_mut(plane)
            && let Some(target) = samples.get_mut(*filled..*filled + bytes.len())
        {
            target.copy_from_slice(bytes);
            *filled += bytes.len();
        }
    }
}

impl EmbeddedImage {
    /// `tables` are inserted after SOI.
    pub(super) fn jpeg(tables: &[u8], bytes: &[u8], page: &Page, limits: &Limits) -> Result<Self, Error> {
        const MARKER_BYTES: usize = 2;
        let Some(content) = tables.len().checked_sub(MARKER_BYTES).filter(|_| bytes.len() > MARKER_BYTES) else {
            return Self::open(&jpeg::Jpeg, bytes, page, limits);
        };
        Self::open(&jpeg::Jpeg, &[&tables[..content], &bytes[MARKER_BYTES..]].concat(), page, limits)
    }

    pub(super) fn webp(bytes: &[u8], page: &Page, limits: &Limits) -> Result<Self, Error> {
        webp::WebP.check(bytes)?;
        Self::open(&webp::WebP, bytes, page, limits)
    }

    /// Its dimensions are checked before anything is allocated.
    fn open(codec: &dyn Codec, bytes: &[u8], page: &Page, limits: &Limits) -> Result<Self, Error> {
        if !codec.sniff(bytes) {
            return Err(Error::corrupt("a strip or tile of another format"));
        }
        let size = codec.probe(bytes, &mut Cursor::new(bytes))?;
        let (width, height) = (size.width as usize, size.height as usize);
        if width != page.chunk.0 || height > page.chunk.1 {
            return Err(Error::corrupt("an image of another size than its strip or tile"));
        }
        let mut decoder = codec.open(bytes, size, limits)?;
        if !decoder.header().has_size(size) {
            return Err(Error::corrupt("two frame headers"));
        }
        let planes = decoder.shrink(Goal { step: 1.0, chroma: 1.0 });
        let areas: Vec<Area> =
            planes.iter().map(|plane| Area { columns: 0..plane.width, rows: 0..plane.height }).collect();
        let bytes = |plane: &Plane| (plane.width * plane.height * plane.channels) as u64;
        // The other half is left for the pixels of the page.
        if planes.iter().map(bytes).sum::<u64>() > limits.max_bytes() / 2 {
            return Err(Error::TooMuchMemory);
        }
        let buffer = |plane: Plane| Ok((plane, buffer::zeroed(bytes(&plane), limits)?, 0));
        let mut planes = Planes(planes.into_iter().map(buffer).collect::<Result<_, Error>>()?);
        decoder.decode(&areas, &mut planes)?;
        let stored: usize = planes.0.iter().map(|(plane, ..)| plane.channels).sum();
        let is_filled = planes.0.iter().all(|(_, samples, filled)| *filled == samples.len());
        let channels = page.channels_per_chunk();
        // WebP drops an alpha channel that is opaque everywhere.
        let opaque = page.compression == Compression::WebP && (stored, channels) == (3, 4);
        if !is_filled || stored != channels && !opaque {
            return Err(Error::corrupt("an image of other channels than the page"));
        }
        Ok(Self { planes, height, channels, row: 0 })
    }
}

impl RowReader for EmbeddedImage {
    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Error> {
        if self.row == self.height {
            return Err(Error::Truncated);
        }
        row.fill(u8::MAX);
        let mut first = 0;
        for (plane, samples, _) in &self.planes.0 {
            for channel in 0..plane.channels {
                let targets = row.iter_mut().skip(first + channel).step_by(self.channels);
                match (plane.x_step, plane.y_step) {
                    (1.0, 1.0) => {
                        let start = self.row * plane.width * plane.channels;
                        let source = samples[start..].iter().skip(channel).step_by(plane.channels);
                        targets.zip(source).for_each(|(target, &sample)| *target = sample);
                    }
                    _ => interpolate(plane, samples, self.row, targets),
                }
            }
            first += plane.channels;
        }
        self.row += 1;
        Ok(())
    }
}

/// Enlarges a row of a subsampled plane of one channel linearly, as libjpeg does.
fn interpolate<'a>(plane: &Plane, samples: &[u8], row: usize, targets: impl Iterator<Item = &'a mut u8>) {
    /// The sample at or before a pixel's centre, the next one, and its share.
    fn neighbours(pixel: usize, step: f64, count: usize) -> (usize, usize, f32) {
        let place = (((pixel as f64 + 0.5) / step) - 0.5).max(0.0);
        let first = (place as usize).min(count - 1);
        (first, (first + 1).min(count - 1), place.fract() as f32)
    }
    let (above, below, share) = neighbours(row, plane.y_step, plane.height);
    let at = |row: usize, column: usize| f32::from(samples[row * plane.width + column]);
    for (x, target) in targets.enumerate() {
        let (left, right, across) = neighbours(x, plane.x_step, plane.width);
        let mixed = |row| at(row, left) + (at(row, right) - at(row, left)) * across;
        *target = (mixed(above) + (mixed(below) - mixed(above)) * share + 0.5) as u8;
    }
}
