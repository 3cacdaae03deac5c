//! Strips and tiles that are images of another format: JPEG (TIFF Technical Note 2) or WebP.

use std::borrow::Cow;
use std::io::Cursor;

use super::super::buffer;
use super::super::codec::Codec;
use super::super::{jpeg, webp};
use super::page::{MAX_TILE_OVERHANG, Page};
use super::rows::RowReader;
use super::variant::Compression;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Area, Goal, Plane, Sink};

/// Decodes strips or tiles to bytes, with a plane for each channel or for all.
pub(super) struct EmbeddedImage {
    page: Page,
    /// The content of the JPEG tables, from SOI on.
    tables: Vec<u8>,
    limits: Limits,
    planes: Planes,
    height: usize,
    /// Index of the next row.
    row: usize,
}

/// Progressive JPEG has about ten scans. Each one sets up tables, which takes longer than decoding a small tile.
const MAX_SCANS: usize = 20;

/// The second byte of the marker of a scan.
const SOS: u8 = 0xda;

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
    /// A reader without a strip or tile yet. `tables` are those of JPEG data, with SOI and EOI, or empty.
    pub(super) fn new(page: &Page, tables: &[u8], limits: &Limits) -> Self {
        const EOI: [u8; 2] = [0xff, 0xd9];
        let tables = tables.strip_suffix(&EOI).unwrap_or(tables).to_vec();
        Self { page: page.clone(), tables, limits: *limits, planes: Planes(Vec::new()), height: 0, row: 0 }
    }

    /// The most bytes of an image. Half of the memory is left for the pixels of the page.
    fn max_bytes(&self) -> u64 {
        self.limits.max_bytes() / 2 / self.page.used_planes().count() as u64
    }

    /// Checks its dimensions before its pixels are allocated.
    fn decode(&mut self, codec: &dyn Codec, bytes: &[u8]) -> Result<(), Error> {
        let page = &self.page;
        if !codec.sniff(bytes) {
            return Err(Error::corrupt("a strip or tile of another format"));
        }
        codec.check(bytes)?;
        let size = codec.probe(bytes, &mut Cursor::new(bytes))?;
        let (width, height) = (size.width as usize, size.height as usize);
        // The last strip of some files is higher than the page.
        if width != page.chunk.0 || height > page.chunk.1.min(page.height + MAX_TILE_OVERHANG) {
            return Err(Error::corrupt("an image of another size than its strip or tile"));
        }
        let mut decoder = codec.open(bytes, size, &self.limits)?;
        if !decoder.header().has_size(size) {
            return Err(Error::corrupt("two frame headers"));
        }
        let planes = decoder.shrink(Goal { step: 1.0, chroma: 1.0 });
        let areas: Vec<Area> =
            planes.iter().map(|plane| Area { columns: 0..plane.width, rows: 0..plane.height }).collect();
        let bytes = |plane: &Plane| (plane.width * plane.height * plane.channels) as u64;
        if planes.iter().map(bytes).sum::<u64>() > self.max_bytes() {
            return Err(Error::TooMuchMemory);
        }
        let buffer = |plane: Plane| Ok((plane, buffer::zeroed(bytes(&plane), &self.limits)?, 0));
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
        (self.planes, self.height, self.row) = (planes, height, 0);
        Ok(())
    }
}

impl<'a> RowReader<'a> for EmbeddedImage {
    fn restart(&mut self, bytes: Cow<'a, [u8]>) -> Result<(), Error> {
        const SOI_BYTES: usize = 2;
        // The pixels of the last image are not needed anymore.
        self.planes.0.clear();
        let is_scan = |at| bytes.get(at + 1) == Some(&SOS);
        if self.page.compression == Compression::Jpeg
            && memchr::memchr_iter(0xff, &bytes).filter(|&at| is_scan(at)).count() > MAX_SCANS
        {
            return Err(Error::corrupt("too many scans"));
        }
        match bytes.get(SOI_BYTES..) {
            _ if self.page.compression == Compression::WebP => self.decode(&webp::WebP, &bytes),
            Some(content) if self.tables.len() >= SOI_BYTES => {
                self.decode(&jpeg::Jpeg, &[&self.tables, content].concat())
            }
            _ => self.decode(&jpeg::Jpeg, &bytes),
        }
    }

    fn read_row(&mut self, row: &mut [u8]) -> Result<(), Error> {
        if self.row == self.height {
            return Err(Error::Truncated);
        }
        row.fill(u8::MAX);
        let channels = self.page.channels_per_chunk();
        let mut first = 0;
        for (plane, samples, _) in &self.planes.0 {
            for channel in 0..plane.channels {
                let targets = row.iter_mut().skip(first + channel).step_by(channels);
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
