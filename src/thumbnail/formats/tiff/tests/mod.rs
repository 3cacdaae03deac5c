//! TIFF: strips, tiles, planes, fill order.

mod file;
mod variants;

use std::io::{Cursor, Read};

use super::super::image_adapter::layout;
use super::super::test_support::{by_image, fixtures, rows};
use super::lzw::LzwReader;
use crate::thumbnail::{Limits, Spec};

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

/// An uncompressed TIFF of three planes with chunks of this size: tiles, or strips if they are as wide as the page.
fn planar_tiff(planes: &[Vec<u8>; 3], size: (usize, usize), chunk: (usize, usize)) -> Vec<u8> {
    written(planes, size, chunk, (1, 1), |chunk, _| chunk.to_vec())
}

/// [`planar_tiff`] with another compression and fill order; `compressed` gets the bytes and the index of a chunk.
fn written(
    planes: &[Vec<u8>; 3],
    (width, height): (usize, usize),
    (chunk_width, chunk_height): (usize, usize),
    (compression, fill_order): (usize, usize),
    compressed: impl Fn(&[u8], usize) -> Vec<u8>,
) -> Vec<u8> {
    let tiled = chunk_width != width;
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
    for plane in planes {
        for (top, left) in (0..height)
            .step_by(chunk_height)
            .flat_map(|top| (0..width).step_by(chunk_width).map(move |left| (top, left)))
        {
            let rows = if tiled { chunk_height } else { chunk_height.min(height - top) };
            let start = file.len() as u32;
            let places = (top..top + rows).flat_map(|y| (left..left + chunk_width).map(move |x| (y, x)));
            let pixels = places.map(|(y, x)| if y < height && x < width { plane[y * width + x] } else { 99 });
            file.extend(compressed(&pixels.collect::<Vec<u8>>(), offsets.len()));
            offsets.push(start);
            lengths.push(file.len() as u32 - start);
        }
    }
    let mut list = |numbers: &[u32]| {
        let start = file.len() as u32;
        file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        (numbers.len() as u32, start)
    };
    let (offsets, lengths) = (list(&offsets), list(&lengths));
    let one = |value: usize| (1, value as u32);
    let mut tags = vec![
        (256, one(width)),
        (257, one(height)),
        (258, one(8)),
        (259, one(compression)),
        (262, one(2)),
        (266, one(fill_order)),
        (277, one(3)),
        (284, one(2)),
    ];
    match tiled {
        true => tags.extend([(322, one(chunk_width)), (323, one(chunk_height)), (324, offsets), (325, lengths)]),
        false => tags.extend([(273, offsets), (278, one(chunk_height)), (279, lengths)]),
    }
    tags.sort_unstable();
    let directory = (file.len() as u32).to_le_bytes();
    file[4..8].copy_from_slice(&directory);
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, (count, value)) in tags {
        file.extend(u16::to_le_bytes(tag).into_iter().chain([4, 0]));
        file.extend([u32::to_le_bytes(count), u32::to_le_bytes(value)].concat());
    }
    file.extend([0; 4]);
    file
}

#[test]
fn planes_of_any_chunk_size_are_interleaved() {
    let size = (20, 37);
    let planes = [3, 5, 7].map(|factor| (0..20 * 37).map(|at| (at * factor % 251) as u8).collect::<Vec<u8>>());
    let expected: Vec<u8> = (0..20 * 37).flat_map(|at| [0, 1, 2].map(|plane| planes[plane][at])).collect();
    for chunk in [(20, 1), (20, 5), (20, 37), (20, 64), (16, 16), (32, 16)] {
        let (samples, ..) = rows(&planar_tiff(&planes, size, chunk), 1.0);
        assert!(samples == expected, "{chunk:?}");
    }
}

#[test]
fn the_bits_are_reversed_for_a_fill_order_of_lowest_bit_first() {
    let size = (20, 37);
    let planes = [3, 5, 7].map(|factor| (0..20 * 37).map(|at| (at * factor % 251) as u8).collect::<Vec<u8>>());
    let (expected, ..) = rows(&planar_tiff(&planes, size, (20, 5)), 1.0);
    let reversed = |chunk: &[u8], _| chunk.iter().map(|byte| byte.reverse_bits()).collect::<Vec<u8>>();
    for chunk in [(20, 5), (16, 16)] {
        let (samples, ..) = rows(&written(&planes, size, chunk, (1, 2), reversed), 1.0);
        assert!(samples == expected, "{chunk:?}");
    }
}

#[test]
fn strips_that_all_span_the_whole_file_are_rejected() {
    let planes = [1, 2, 3].map(|colour| vec![colour; 20 * 37]);
    let mut file = written(&planes, (20, 37), (20, 1), (32773, 2), |chunk, _| chunk.to_vec());
    let (strips, end) = (3 * 37, file.len() as u32);
    let offsets = 8 + strips * 20;
    for strip in 0..strips {
        let lengths = offsets + 4 * (strips + strip);
        file[lengths..lengths + 4].copy_from_slice(&(end - 8 - 20 * strip as u32).to_le_bytes());
    }
    let limits = Limits { max_pixels: 1 << 20 };
    let error = crate::thumbnail::variants(&file, &[Spec::default()], &limits).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}

/// LZW of identical bytes (TIFF 6.0, section 13): each code represents one byte more than the previous one.
fn lzw_of_one_colour(bytes: &[u8]) -> Vec<u8> {
    const CLEAR: u64 = 256;
    const END: u64 = 257;
    let (mut codes, mut left, mut longest) = (vec![CLEAR], bytes.len(), 1);
    while left > 0 {
        let run = longest.min(left);
        codes.push(if run == 1 { u64::from(bytes[0]) } else { END + run as u64 - 1 });
        (left, longest) = (left - run, longest + 1);
    }
    assert!(longest < 250, "all codes have nine bits");
    codes.push(END);
    let bits: Vec<u8> = codes.iter().flat_map(|code| (0..9).rev().map(move |bit| (code >> bit & 1) as u8)).collect();
    bits.chunks(8).map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at))).collect()
}

#[test]
fn lzw_tiles_can_extend_beyond_the_page() {
    for width in 1..80 {
        let size = (width, 20);
        let planes = [99, 7, 200].map(|colour| vec![colour; width * 20]);
        let (expected, ..) = rows(&planar_tiff(&planes, size, (width, 20)), 1.0);
        let compressed = |chunk: &[u8], index: usize| {
            let plane = index / (width.div_ceil(16) * 2);
            lzw_of_one_colour(&vec![planes[plane][0]; chunk.len()])
        };
        let (samples, ..) = rows(&written(&planes, size, (16, 16), (5, 1), compressed), 1.0);
        assert!(samples == expected, "{width}");
    }
}

#[test]
fn lzw_of_one_colour_is_decoded_at_every_row_length() {
    for (width, height) in (1..40).flat_map(|width| [1, 2, 5, 29, 63].map(|height| (width, height))) {
        let planes = [99, 7, 200].map(|colour| vec![colour; width * height]);
        let (expected, ..) = rows(&planar_tiff(&planes, (width, height), (width, height)), 1.0);
        let compressed = |chunk: &[u8], _| lzw_of_one_colour(chunk);
        let (samples, ..) = rows(&written(&planes, (width, height), (width, height), (5, 1), compressed), 1.0);
        assert!(samples == expected, "{width}x{height}");
    }
}

#[test]
fn both_variants_of_lzw_are_decoded_with_codes_of_every_width() {
    let noise = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8 & if at % 3000 < 1000 { 255 } else { 3 };
    let bytes: Vec<u8> = (0..60_000).map(noise).collect();
    for old in [false, true] {
        for row in [1, 7, 5000, 60_000] {
            let mut reader = LzwReader::new(file::lzw(&bytes, old).into());
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
