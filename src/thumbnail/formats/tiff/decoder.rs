//! Decodes the first page row by row. Rows of tiles are buffered, and strips and tiles that are images of another
//! format.

use std::io::Cursor;

use image::metadata::Orientation;

use super::super::buffer;
use super::super::codec::RowDecoder;
use super::beyond_header;
use super::chunks::Chunks;
use super::colours::Converter;
use super::directory::{Directory, tag};
use super::page::Page;
use super::rows::{ChunkReader, RowReader};
use super::samples::{Samples, Unpacker, unpacked};
use crate::error::Error;
use crate::limits::Limits;
use crate::profile;
use crate::raster::{Area, Goal, Header, Model, Plane, Sink};

/// The largest profile that is used; those of printers have up to 3 MB.
const MAX_PROFILE_BYTES: u64 = 16 << 20;

/// More than the tables of JPEG take. They are read again for each strip or tile.
const MAX_TABLES_BYTES: u64 = 16 << 10;

/// How often decoding a page can unpack the bytes of [`Limits::max_bytes`]; unused channels and the overhang of tiles
/// are unpacked in addition to the pixels.
const MAX_UNPACKED: u64 = 4;

/// A TIFF whose first directory is read.
pub(super) struct TiffDecoder<'a> {
    header: Header,
    reader: ChunkReader<'a>,
    unpacker: Unpacker,
    converter: Converter,
}

/// Reads the first directory.
pub(super) fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<TiffDecoder<'a>, Error> {
    let mut file = Cursor::new(bytes);
    let directory = Directory::read(&mut file)?;
    let page = Page::read(&directory, &mut file)?;
    if page.unpacked_bytes() > limits.max_bytes().saturating_mul(MAX_UNPACKED) {
        return Err(Error::TooMuchMemory);
    }
    let chunks = Chunks::read(bytes, &directory, &page)?;
    let jpeg_tables = directory.bytes(&mut file, tag::JPEG_TABLES, MAX_TABLES_BYTES)?.unwrap_or_default();
    // A malformed profile is ignored. One beyond the end of the file means that the file is truncated.
    let icc = match directory.bytes(&mut file, tag::ICC_PROFILE, MAX_PROFILE_BYTES) {
        Err(Error::Truncated) => return Err(Error::Truncated),
        other => other.ok().flatten(),
    };
    let orientation = page.orientation.and_then(|value| u8::try_from(value).ok());
    let has_profile = icc.as_deref().is_some_and(|icc| profile::applies(Model::Rgb, icc));
    let converter = Converter::new(bytes, &directory, &page, has_profile)?;
    let header = Header {
        width: page.width,
        height: page.height,
        model: converter.model,
        depth: converter.depth,
        // The colours of Lab are converted without it.
        icc: icc.filter(|_| !page.photometric.is_lab()),
        orientation: orientation.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms),
        premultiplied: converter.is_premultiplied(),
    };
    let unpacker = Unpacker::new(&page);
    let reader = ChunkReader { page, chunks, jpeg_tables, limits: *limits };
    Ok(TiffDecoder { header, reader, unpacker, converter })
}

impl RowDecoder for TiffDecoder<'_> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn shrink(&mut self, _: Goal) -> Vec<Plane> {
        vec![self.header.plane()]
    }

    fn decode(&mut self, needed: &[Area], sink: &mut dyn Sink) -> Result<(), Error> {
        if self.converter.has_open_range() {
            let mut largest = Largest(0.0);
            self.decode_rows(None, &mut largest)?;
            self.converter.choose_range(largest.0);
        }
        self.decode_rows(needed.first(), sink)
    }
}

/// The strips or tiles of all channels, or of one.
struct PlaneRows<'a> {
    /// Its index in the file.
    plane: usize,
    /// The channels that are used: the index among those that are stored here, and among those that are used.
    channels: Vec<(usize, usize)>,
    rows: Box<dyn RowReader<'a> + 'a>,
}

/// The largest of the samples of all rows.
struct Largest(f32);

impl Sink for Largest {
    fn row(&mut self, _: usize, bytes: &[u8]) {
        let numbers = bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_ne_bytes(bytes));
        self.0 = numbers.filter(|number| number.is_finite()).fold(self.0, f32::max);
    }
}

impl<'a> TiffDecoder<'a> {
    fn decode_rows(&mut self, needed: Option<&Area>, sink: &mut dyn Sink) -> Result<(), Error> {
        let page = &self.reader.page;
        let raw = buffer::zeroed(page.chunk_row_bytes() as u64, &self.reader.limits)?;
        if page.tiled { self.decode_tiles(raw, sink) } else { self.decode_strips(raw, needed, sink) }
    }

    fn decode_strips(&mut self, mut raw: Vec<u8>, needed: Option<&Area>, sink: &mut dyn Sink) -> Result<(), Error> {
        let page = self.reader.page.clone();
        let direct = self.is_direct();
        let (mut samples, mut row) = (self.samples(if direct { 0 } else { 1 })?, Vec::new());
        let mut planes = self.planes();
        for band in 0..page.chunks_down() {
            self.restart(&mut planes, band, 0)?;
            for y in band * page.chunk.1..page.height.min((band + 1).saturating_mul(page.chunk.1)) {
                let is_needed = needed.is_none_or(|area| area.rows.contains(&y));
                for PlaneRows { channels, rows, .. } in &mut planes {
                    rows.read_row(&mut raw)?;
                    if is_needed {
                        self.unpacker.unpredict(&mut raw);
                        if !direct {
                            self.place(&raw, channels, &mut samples, 0, page.width);
                        }
                    }
                }
                match direct {
                    true => sink.row(0, &raw),
                    false => {
                        if is_needed {
                            self.converter.convert(&samples, 0, page.width, &mut row);
                        }
                        sink.row(0, &row);
                    }
                }
            }
        }
        Ok(())
    }

    fn decode_tiles(&mut self, mut raw: Vec<u8>, sink: &mut dyn Sink) -> Result<(), Error> {
        let page = self.reader.page.clone();
        let mut samples = self.samples(page.chunk.1.min(page.height))?;
        let mut row = Vec::new();
        let mut planes = self.planes();
        for band in 0..page.chunks_down() {
            let rows = page.chunk.1.min(page.height - band * page.chunk.1);
            for x in 0..page.chunks_across() {
                let left = x * page.chunk.0;
                self.restart(&mut planes, band, x)?;
                for PlaneRows { channels, rows: tile, .. } in &mut planes {
                    for y in 0..rows {
                        tile.read_row(&mut raw)?;
                        self.unpacker.unpredict(&mut raw);
                        let width = page.chunk.0.min(page.width - left);
                        self.place(&raw, channels, &mut samples, y * page.width + left, width);
                    }
                }
            }
            for y in 0..rows {
                self.converter.convert(&samples, y * page.width, page.width, &mut row);
                sink.row(0, &row);
            }
        }
        Ok(())
    }

    /// Whether an unpacked row of a strip is a row of pixels.
    fn is_direct(&self) -> bool {
        let page = &self.reader.page;
        let bytes = self.header.model.channels() * self.header.depth.bytes();
        let is_whole = page.used_channels().eq(0..page.channels) && page.bits / 8 * page.channels == bytes;
        !page.planar
            && !page.tiled
            && is_whole
            && page.bits.is_multiple_of(8)
            && self.converter.keeps()
            && !page.is_converted()
    }

    /// A buffer for the used channels of so many rows.
    fn samples(&self, rows: usize) -> Result<Samples, Error> {
        let (page, limits) = (&self.reader.page, &self.reader.limits);
        let (depth, _) = unpacked(page);
        let count = page.width * rows * page.used_channels().count();
        let bytes = (count * depth.bytes() + page.chunk_row_bytes()) as u64;
        // Decoded images of another format take the other half.
        let max_bytes = limits.max_bytes() / if page.compression.is_image() { 2 } else { 1 };
        if bytes > max_bytes { Err(Error::TooMuchMemory) } else { Samples::zeroed(depth, count, limits) }
    }

    /// Readers of the strips or tiles of each plane that is used.
    fn planes(&self) -> Vec<PlaneRows<'a>> {
        let page = &self.reader.page;
        let planes = page.used_planes().enumerate().map(|(to, plane)| {
            let channels = match page.planar {
                true => vec![(0, to)],
                false => page.used_channels().enumerate().map(|(to, from)| (from, to)).collect(),
            };
            PlaneRows { plane, channels, rows: self.reader.rows() }
        });
        planes.collect()
    }

    /// Continues with the strips or tiles at a place of the page.
    fn restart(&self, planes: &mut [PlaneRows<'a>], band: usize, x: usize) -> Result<(), Error> {
        let page = &self.reader.page;
        for PlaneRows { plane, rows, .. } in planes {
            let index = (*plane * page.chunks_down() + band) * page.chunks_across() + x;
            rows.restart(self.reader.chunks.get(index)?).map_err(beyond_header)?;
        }
        Ok(())
    }

    /// Writes the used channels of a row to the samples, from a pixel on.
    fn place(&self, raw: &[u8], channels: &[(usize, usize)], samples: &mut Samples, first: usize, width: usize) {
        let step = self.reader.page.used_channels().count();
        for &channel in channels {
            self.unpacker.place(raw, channel, samples, first, step, width);
        }
    }
}
