//! PNG: rows, interlacing, box averages.

use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{ExtendedColorType, ImageEncoder};

use super::super::image_adapter::layout;
use super::super::test_support::{by_image, exif, fixtures, rows, rows_of, try_rows, zlib};
use crate::hostile_tests::png as png_file;
use crate::raster::{Area, Depth};

#[test]
fn png_rows_match_a_full_decode() {
    for (name, bytes) in fixtures("png", &[]) {
        let (samples, plane, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!((plane.width, plane.height), (whole.width() as usize, whole.height() as usize), "{name}");
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        assert!(samples == whole.as_bytes(), "{name}");
    }
}

#[test]
fn a_png_of_any_depth_and_size_is_decoded_losslessly() {
    let noise = |at: usize| (at.wrapping_mul(2_654_435_761) >> 24) as u8;
    for (width, height) in [(1, 1), (1, 900), (900, 1), (613, 411)] {
        for color in
            [ExtendedColorType::L8, ExtendedColorType::La16, ExtendedColorType::Rgb8, ExtendedColorType::Rgba16]
        {
            let length = width as usize * height as usize * usize::from(color.bits_per_pixel()) / 8;
            // Noise is stored, constant data is compressed hundreds of times: both cross the buffers of the decoder.
            let samples: Vec<u8> = (0..length).map(|at| if at % 4096 < 2048 { noise(at) } else { 7 }).collect();
            let mut file = Vec::new();
            PngEncoder::new(&mut file).write_image(&samples, width, height, color).unwrap();
            assert!(rows(&file, 1.0).0 == samples, "{color:?} of {width}x{height}");
        }
    }
}

/// An interlaced PNG of RGBA with 16 bits per channel and stored (uncompressed) deflate blocks.
pub(super) fn interlaced_png(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut data = Vec::new();
    for [x, y, x_step, y_step] in
        [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]]
    {
        for y in (y..height).step_by(y_step).filter(|_| x < width) {
            data.push(0);
            (x..width).step_by(x_step).for_each(|x| data.extend(&pixels[(y * width + x) * 8..][..8]));
        }
    }
    let mut stored = b"x\x01".to_vec();
    for block in data.chunks(65_535) {
        let length = block.len() as u16;
        stored.extend([&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), block].concat());
    }
    // An empty last block, and a checksum that is not verified.
    stored.extend(b"\x01\0\0\xff\xff\0\0\0\0");
    let size = [(width as u32).to_be_bytes(), (height as u32).to_be_bytes()].concat();
    png_file(&[(b"IHDR", &[&size[..], &[16, 6, 0, 0, 1]].concat()), (b"IDAT", &stored), (b"IEND", b"")])
}

#[test]
fn an_interlaced_png_is_assembled_or_averaged() {
    for (width, height) in [(1, 1), (2, 3), (5, 40), (97, 61)] {
        let pixels: Vec<u8> = (0..width * height * 8).map(|at| (at * at * 31 % 253) as u8).collect();
        let file = interlaced_png(&pixels, width, height);
        let (whole, ..) = rows(&file, 1.0);
        let native: Vec<u16> = pixels.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect();
        assert!(whole == native.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>());
        // A step of 6 pixels gives boxes of 3x3; the last ones can be incomplete.
        let (means, plane, header) = rows(&file, 6.0);
        assert_eq!((plane.width, plane.height), (((width + 1) / 3).max(1), ((height + 1) / 3).max(1)));
        assert_eq!((header.depth, header.premultiplied), (Depth::F32, true));
        for (at, mean) in means.as_chunks::<16>().0.iter().enumerate() {
            let (left, top) = (at % plane.width * 3, at / plane.width * 3);
            let places = (top..(top + 3).min(height)).flat_map(|y| (left..(left + 3).min(width)).map(move |x| (x, y)));
            let inside: Vec<_> = places.map(|(x, y)| &native[(y * width + x) * 4..][..4]).collect();
            let number = |number: u16| f32::from(number) / 65535.0;
            let sum: f32 = inside.iter().map(|pixel| number(pixel[1]) * number(pixel[3])).sum();
            let green = f32::from_ne_bytes([mean[4], mean[5], mean[6], mean[7]]);
            assert!((green - sum / inside.len() as f32).abs() < 1e-5);
        }
    }
}

#[test]
fn only_the_needed_area_of_an_interlaced_png_is_decoded() {
    let pixels: Vec<u8> = (0_usize..97 * 61 * 8).map(|at| (at * at * 31 % 253) as u8).collect();
    let file = interlaced_png(&pixels, 97, 61);
    for step in [1.0, 6.0] {
        let (whole, plane, header) = super::super::test_support::rows(&file, step);
        let (columns, rows) = (5..plane.width - 7, 3..plane.height - 2);
        let (part, ..) = rows_of(&file, step, |_| Area { columns: columns.clone(), rows: rows.clone() });
        assert_eq!(part.len(), whole.len());
        let pixel = plane.channels * header.depth.bytes();
        for y in rows.clone() {
            let bytes = (y * plane.width + columns.start) * pixel..(y * plane.width + columns.end) * pixel;
            assert!(part[bytes.clone()] == whole[bytes], "row {y} at a step of {step}");
        }
    }
}

#[test]
fn the_orientation_is_that_of_an_exif_block_without_a_prefix() {
    let header = [&[0, 0, 0, 1, 0, 0, 0, 1][..], &[8, 0, 0, 0, 0]].concat();
    let orientation = |block: &[u8]| {
        let chunks: [(&[u8; 4], &[u8]); 4] =
            [(b"IHDR", &header), (b"eXIf", block), (b"IDAT", &zlib(&[0, 7])), (b"IEND", b"")];
        rows(&png_file(&chunks), 1.0).2.orientation
    };
    let block = exif(6);
    assert_eq!(orientation(&block), Orientation::Rotate90);
    assert_eq!(orientation(&[b"Exif\0\0", &block[..]].concat()), Orientation::NoTransforms);
}

/// An indexed PNG of one row, with the chunks between its header and its image data.
fn indexed_png(bits: u8, width: u8, row: &[u8], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let header = [&[0, 0, 0, width, 0, 0, 0, 1][..], &[bits, 3, 0, 0, 0]].concat();
    let data = zlib(&[&[0], row].concat());
    let ends: [(&[u8; 4], &[u8]); 2] = [(b"IDAT", &data), (b"IEND", b"")];
    png_file(&[&[(b"IHDR", &header[..])][..], chunks, &ends].concat())
}

#[test]
fn indices_beyond_the_palette_have_its_last_colour() {
    let colours = [[9, 0, 0], [0, 8, 0], [0, 0, 7]];
    let palette = colours.concat();
    let shown = |index: u8| colours[usize::from(index.min(2))];
    for (bits, row, indices) in [
        (8, &[0, 1, 2, 3, 200, 255, 1][..], &[0, 1, 2, 3, 200, 255, 1][..]),
        (4, &[0x01, 0x23, 0xf1], &[0, 1, 2, 3, 15, 1]),
        (2, &[0b00_01_10_11], &[0, 1, 2, 3]),
    ] {
        let png = |chunks: &[_]| indexed_png(bits, indices.len() as u8, row, chunks);
        let expected: Vec<u8> = indices.iter().flat_map(|&index| shown(index)).collect();
        assert_eq!(rows(&png(&[(b"PLTE", &palette)]), 1.0).0, expected, "{bits} bits");
        for (transparency, beyond) in [(&[30, 40][..], 255), (&[30, 40, 50], 50), (&[30, 40, 50, 60], 50)] {
            let alpha = |index: u8| transparency[..2].get(usize::from(index)).copied().unwrap_or(beyond);
            let pixel = |&index: &u8| [&shown(index)[..], &[alpha(index)]].concat();
            let expected: Vec<u8> = indices.iter().flat_map(pixel).collect();
            let png = png(&[(b"PLTE", &palette), (b"tRNS", transparency)]);
            assert_eq!(rows(&png, 1.0).0, expected, "{bits} bits, {transparency:?}");
        }
    }
}

#[test]
fn only_an_indexed_image_needs_a_valid_palette() {
    let is_made = |file: &[u8]| try_rows(file, 1.0).is_ok();
    let palettes = [vec![7; 771], vec![7; 4], Vec::new()];
    for palette in &palettes {
        assert!(!is_made(&indexed_png(8, 1, &[0], &[(b"PLTE", palette)])), "{} bytes", palette.len());
        let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0];
        let chunks: [(&[u8; 4], &[u8]); 4] =
            [(b"IHDR", &header), (b"PLTE", palette), (b"IDAT", &zlib(&[0, 1, 2, 3])), (b"IEND", b"")];
        assert!(is_made(&png_file(&chunks)), "RGB, {} bytes", palette.len());
    }
    let mut damaged = indexed_png(8, 1, &[0], &[(b"PLTE", &[1, 2, 3])]);
    assert!(is_made(&damaged));
    // The first colour.
    damaged[8 + 25 + 8] ^= 1;
    assert!(!is_made(&damaged));
    assert!(!is_made(&indexed_png(8, 1, &[0], &[])), "no palette");
}
