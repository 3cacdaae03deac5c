//! GIF: frames at any position of the logical screen.

use super::super::test_support::{by_image, fixtures, rows};
use crate::thumbnail::raster::Model;

#[test]
fn gif_rows_match_a_full_decode() {
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

/// GIFs with a screen of 7x5 pixels and frames of other positions and sizes, with several palettes, some interlaced.
fn drawn_gifs() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (left, top, width, height) in [(0, 0, 7, 5), (2, 1, 3, 2), (3, 2, 9, 20), (9, 9, 2, 2), (0, 3, 7, 1)] {
        for (colours, interlaced) in [(2, false), (200, true), (256, false), (256, true)] {
            let palette: Vec<u8> = (0..colours * 3).map(|at| (at * 37 % 251) as u8).collect();
            let mut file = Vec::new();
            let mut encoder = gif::Encoder::new(&mut file, 7, 5, &palette).unwrap();
            let indices: Vec<u8> = (0..width * height).map(|at| (at * 11 % colours) as u8).collect();
            let mut frame = gif::Frame::from_indexed_pixels(width, height, indices, None);
            (frame.left, frame.top, frame.interlaced) = (left, top, interlaced);
            frame.transparent = (colours == 200).then_some(3);
            encoder.write_frame(&frame).unwrap();
            drop(encoder);
            files.push((format!("{width}x{height} at {left},{top}, {colours} colours, interlaced {interlaced}"), file));
        }
    }
    files
}
