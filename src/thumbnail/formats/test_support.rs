//! Helpers that compare emitted rows with a full decode by the `image` crate.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use image::{DynamicImage, ImageReader};

use crate::thumbnail::limits::Limits;
use crate::thumbnail::open::open;
use crate::thumbnail::raster::{Area, Goal, Header, Plane, Sink};

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
    rows_of(bytes, step, |plane| Area { columns: 0..plane.width, rows: 0..plane.height })
}

/// [`rows`], of which only an area is needed.
pub(super) fn rows_of(bytes: &[u8], step: f64, needed: impl Fn(&Plane) -> Area) -> (Vec<u8>, Plane, Header) {
    let mut decoder = open(bytes, &LIMITS).unwrap();
    let planes = decoder.shrink(Goal { step, chroma: step });
    let area = needed(&planes[0]);
    let mut rows = Rows::default();
    decoder.decode(&[area], &mut rows).unwrap();
    assert_eq!(planes.len(), 1);
    (rows.0, planes[0], decoder.header().clone())
}

/// The fixtures of a format, without those whose names contain an excluded part.
pub(super) fn fixtures(extension: &str, except: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
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
