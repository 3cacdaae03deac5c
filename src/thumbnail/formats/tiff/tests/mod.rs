//! TIFF: strips, tiles, planes, fill order. Files are drawn by [`File`].

mod colours;
mod compressions;
mod file;
mod refusals;
mod samples;

use std::io::{Cursor, Read};

use super::super::image_adapter::layout;
use super::super::test_support::{by_image, fixtures, rows};
use super::lzw::LzwReader;
use super::rows::Decompressor;
use crate::Limits;
use file::File;

/// Of most files.
const SIZE: (usize, usize) = (37, 29);

const LIMITS: Limits = Limits { max_pixels: 1 << 20 };

fn u16s(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|&bytes| u16::from_ne_bytes(bytes)).collect()
}

/// All layouts of a file: strips and tiles, both byte orders, planes, and the compressions with a predictor.
fn layouts(file: impl Fn() -> File, predictors: &[u32]) -> Vec<File> {
    let mut all = Vec::new();
    for &(tiled, chunk) in &[(false, (SIZE.0, 7)), (false, (SIZE.0, 100)), (true, (16, 16)), (true, (48, 32))] {
        for (big_endian, planar) in [(false, false), (true, false), (false, true), (true, true)] {
            for compression in [1, 5, 8, 32773, 50000] {
                let predictors = if matches!(compression, 1 | 32773) { &[1] } else { predictors };
                for &predictor in predictors {
                    all.push(File { tiled, chunk, big_endian, planar, compression, predictor, ..file() });
                }
            }
        }
    }
    all
}

#[test]
fn tiff_rows_match_a_full_decode() {
    // Excluded: files that the `image` crate converts or does not support.
    for (name, bytes) in fixtures("tiff", &["cmyk", "grey-4", "jpeg", "palette"]) {
        let (samples, plane, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!((plane.width, plane.height), (whole.width() as usize, whole.height() as usize), "{name}");
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        assert!(samples == whole.as_bytes(), "{name}");
    }
}

/// A file of three channels, and its rows.
fn rgb(width: usize, height: usize) -> (File, Vec<u8>) {
    let file = File::new(width, height, 3, 2);
    let expected = file.samples.iter().map(|&sample| sample as u8).collect();
    (file, expected)
}

#[test]
fn planes_of_any_chunk_size_are_interleaved() {
    for chunk in [(20, 1), (20, 5), (20, 37), (20, 64), (16, 16), (32, 16)] {
        let (file, expected) = rgb(20, 37);
        let file = File { planar: true, tiled: chunk.0 != 20, chunk, ..file };
        assert!(rows(&file.bytes(), 1.0).0 == expected, "{chunk:?}");
    }
}

#[test]
fn the_bits_are_reversed_for_a_fill_order_of_lowest_bit_first() {
    for chunk in [(20, 5), (16, 16)] {
        let (file, expected) = rgb(20, 37);
        let file = File { planar: true, tiled: chunk.0 != 20, chunk, tags: vec![(266, 3, vec![2])], ..file };
        let reversed = |chunk: Vec<u8>| chunk.into_iter().map(u8::reverse_bits).collect();
        let chunks: Vec<Vec<u8>> = file.chunks().into_iter().map(reversed).collect();
        assert!(rows(&file.with_chunks(&chunks), 1.0).0 == expected, "{chunk:?}");
    }
}

#[test]
fn lzw_tiles_can_extend_beyond_the_page() {
    for width in 1..80 {
        let file = File { tiled: true, chunk: (16, 16), compression: 5, planar: true, ..one_colour(width, 20) };
        assert!(rows(&file.bytes(), 1.0).0 == [99, 7, 200].repeat(width * 20), "{width}");
    }
}

#[test]
fn lzw_of_one_colour_is_decoded_at_every_row_length() {
    for (width, height) in (1..40).flat_map(|width| [1, 2, 5, 29, 63].map(|height| (width, height))) {
        let file = File { compression: 5, planar: true, ..one_colour(width, height) };
        assert!(rows(&file.bytes(), 1.0).0 == [99, 7, 200].repeat(width * height), "{width}x{height}");
    }
}

fn one_colour(width: usize, height: usize) -> File {
    File { samples: [99, 7, 200].repeat(width * height), ..File::new(width, height, 3, 2) }
}

#[test]
fn both_variants_of_lzw_are_decoded_with_codes_of_every_width() {
    let noise = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8 & if at % 3000 < 1000 { 255 } else { 3 };
    let bytes: Vec<u8> = (0..60_000).map(noise).collect();
    let mut reader = LzwReader::new();
    for old in [false, true] {
        for row in [1, 7, 5000, 60_000] {
            reader.restart(file::lzw(&bytes, old).into()).unwrap();
            let mut decoded = vec![0; bytes.len()];
            decoded.chunks_mut(row).for_each(|row| reader.read_exact(row).unwrap());
            assert!(decoded == bytes, "old {old}, rows of {row} bytes");
        }
    }
}

#[test]
fn strips_of_any_height_are_decoded() {
    let pixels: Vec<u16> = (0..23 * 31 * 3).map(|at| (at * 7919 % 65521) as u16).collect();
    for strip in [1, 4, 30, 31, 100] {
        let mut file = Cursor::new(Vec::new());
        let mut encoder = tiff::encoder::TiffEncoder::new(&mut file).unwrap();
        let mut image = encoder.new_image::<tiff::encoder::colortype::RGB16>(23, 31).unwrap();
        image.rows_per_strip(strip).unwrap();
        image.write_data(&pixels).unwrap();
        let (samples, ..) = rows(&file.into_inner(), 1.0);
        assert!(samples == pixels.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>(), "{strip}");
    }
}
