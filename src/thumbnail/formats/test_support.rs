//! Emitted rows, full decodes by the `image` crate, and parts of files.

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::{DynamicImage, ImageReader};

use crate::error::Error;
use crate::limits::Limits;
use crate::open::open;
use crate::raster::{Area, Goal, Header, Plane, Sink};

const LIMITS: Limits = Limits { max_pixels: 100_000_000 };

/// The rows of a single plane, concatenated.
#[derive(Default)]
struct Rows(Vec<u8>);

impl Sink for Rows {
    fn row(&mut self, plane: usize, bytes: &[u8]) {
        assert_eq!(plane, 0);
        self.0.extend_from_slice(bytes);
    }
}

/// All rows at this step, with their plane and header.
pub(super) fn rows(bytes: &[u8], step: f64) -> (Vec<u8>, Plane, Header) {
    rows_of(bytes, step, all)
}

/// [`rows`], of which only an area is needed.
pub(super) fn rows_of(bytes: &[u8], step: f64, needed: impl Fn(&Plane) -> Area) -> (Vec<u8>, Plane, Header) {
    decode(bytes, step, needed).unwrap()
}

/// All rows at this step, or the error.
pub(super) fn try_rows(bytes: &[u8], step: f64) -> Result<Vec<u8>, Error> {
    decode(bytes, step, all).map(|(rows, ..)| rows)
}

fn all(plane: &Plane) -> Area {
    Area { columns: 0..plane.width, rows: 0..plane.height }
}

fn decode(bytes: &[u8], step: f64, needed: impl Fn(&Plane) -> Area) -> Result<(Vec<u8>, Plane, Header), Error> {
    let mut decoder = open(bytes, &LIMITS)?;
    let planes = decoder.shrink(Goal { step, chroma: step });
    let area = needed(&planes[0]);
    let mut rows = Rows::default();
    decoder.decode(&[area], &mut rows)?;
    assert_eq!(planes.len(), 1);
    Ok((rows.0, planes[0], decoder.header().clone()))
}

/// A zlib stream of these bytes.
pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An EXIF block of only this orientation.
pub(crate) fn exif(orientation: u8) -> Vec<u8> {
    [&b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation], &[0; 6]].concat()
}

/// The fixtures of a format, without those whose names contain an excluded part.
pub(super) fn fixtures(extension: &str, except: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    let all = names.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
    let wanted: Vec<_> = all.filter(|(name, _)| !except.iter().any(|part| name.contains(part))).collect();
    assert!(!wanted.is_empty());
    wanted
}

pub(super) fn by_image(bytes: &[u8]) -> DynamicImage {
    ImageReader::new(Cursor::new(bytes)).with_guessed_format().unwrap().decode().unwrap()
}
