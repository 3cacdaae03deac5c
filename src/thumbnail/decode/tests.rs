//! What comes by rows is what `image` makes of the whole file.

use std::fs;
use std::path::PathBuf;

use ::gif as gif_encoder;
use image::{DynamicImage, ImageReader};

use super::*;
use crate::thumbnail::probe::probe;

const LIMITS: Limits = Limits { max_pixels: 100_000_000 };

/// The rows of a single plane, one after another.
#[derive(Default)]
struct Rows(Vec<u8>);

impl Sink for Rows {
    fn row(&mut self, plane: usize, bytes: &[u8]) {
        assert_eq!(plane, 0);
        self.0.extend_from_slice(bytes);
    }
}

/// All rows at this step, their plane, and their header.
fn rows(bytes: &[u8], step: f64) -> (Vec<u8>, Plane, Header) {
    let probe = probe(Cursor::new(bytes), &LIMITS).unwrap();
    let mut source = open(bytes, &probe, &LIMITS).unwrap();
    let planes = source.shrink(Goal { step, chroma: step });
    let area = Area { across: 0..planes[0].width, down: 0..planes[0].height };
    let mut rows = Rows::default();
    source.read(&[area], &mut rows).unwrap();
    assert_eq!(planes.len(), 1);
    (rows.0, planes[0], source.header().clone())
}

/// The fixtures of a format whose names hold no part that is excepted.
fn fixtures(extension: &str, except: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    let all = names.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
    let wanted: Vec<_> = all.filter(|(name, _)| !except.iter().any(|part| name.contains(part))).collect();
    assert!(!wanted.is_empty());
    wanted
}

fn by_image(bytes: &[u8]) -> DynamicImage {
    ImageReader::new(Cursor::new(bytes)).with_guessed_format().unwrap().decode().unwrap()
}

#[test]
fn a_png_by_rows_is_that_of_a_full_decode() {
    for (name, bytes) in fixtures("png", &[]) {
        let (samples, plane, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!((plane.width, plane.height), (whole.width() as usize, whole.height() as usize), "{name}");
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        assert!(samples == whole.as_bytes(), "{name}");
    }
}

#[test]
fn a_gif_by_rows_is_that_of_a_full_decode() {
    let files = fixtures("gif", &[]).into_iter().chain(drawn_gifs());
    for (name, bytes) in files {
        let (samples, plane, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes).into_rgba8();
        assert_eq!((plane.width, plane.height), (whole.width() as usize, whole.height() as usize), "{name}");
        let rgba: Vec<u8> = match header.model {
            Model::Rgb => samples.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, u8::MAX]).collect(),
            _ => samples,
        };
        assert!(rgba == whole.into_raw(), "{name}");
    }
}

/// GIFs of 7x5 pixels whose frame lies elsewhere than on the screen, with the palettes of every size; each interlaced, too.
fn drawn_gifs() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (left, top, width, height) in [(0, 0, 7, 5), (2, 1, 3, 2), (3, 2, 9, 20), (9, 9, 2, 2), (0, 3, 7, 1)] {
        for (colours, interlaced) in [(2, false), (200, true), (256, false), (256, true)] {
            let palette: Vec<u8> = (0..colours * 3).map(|at| (at * 37 % 251) as u8).collect();
            let mut file = Vec::new();
            let mut encoder = gif_encoder::Encoder::new(&mut file, 7, 5, &palette).unwrap();
            let indices: Vec<u8> = (0..width * height).map(|at| (at * 11 % colours) as u8).collect();
            let mut frame = gif_encoder::Frame::from_indexed_pixels(width, height, indices, None);
            (frame.left, frame.top, frame.interlaced) = (left, top, interlaced);
            frame.transparent = (colours == 200).then_some(3);
            encoder.write_frame(&frame).unwrap();
            drop(encoder);
            files.push((format!("{width}x{height} at {left},{top}, {colours} colours, interlaced {interlaced}"), file));
        }
    }
    files
}

#[cfg(feature = "libwebp")]
#[test]
fn a_webp_is_nearly_that_of_another_decoder() {
    for (name, bytes) in fixtures("webp", &["animated"]) {
        let (samples, _, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        let furthest = samples.iter().zip(whole.as_bytes()).map(|(is, other)| is.abs_diff(*other)).max();
        assert!(samples.len() == whole.as_bytes().len() && furthest <= Some(1), "{name}: {furthest:?}");
    }
}
