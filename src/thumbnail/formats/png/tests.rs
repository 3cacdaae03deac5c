//! PNG: rows, interlacing, box averages.

use std::io::Cursor;

use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{ExtendedColorType, ImageEncoder};

use super::super::image_adapter::layout;
use super::super::test_support::{by_image, fixtures, rows, rows_of};
use crate::thumbnail::error::Error;
use crate::thumbnail::hostile_tests::png as png_file;
use crate::thumbnail::limits::Limits;
use crate::thumbnail::raster::{Area, Depth};
use crate::thumbnail::spec::{Output, Spec};
use crate::thumbnail::{variants, variants_of_file};

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
fn interlaced_png(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
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

/// The chunks of a file: name and data.
fn chunks(file: &[u8]) -> Vec<(&[u8; 4], &[u8])> {
    let (mut rest, mut chunks) = (&file[8..], Vec::new());
    while !rest.is_empty() {
        let length = u32::from_be_bytes(*rest.first_chunk().unwrap()) as usize;
        chunks.push((rest[4..].first_chunk().unwrap(), &rest[8..8 + length]));
        rest = &rest[12 + length..];
    }
    chunks
}

/// The rows, or the error, of a file with a damaged end.
fn outcome(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let spec = [Spec { width: 64, height: 64, output: Output::Png, ..Spec::default() }];
    let limits = Limits { max_pixels: 1_000_000 };
    let of_file = variants_of_file(Cursor::new(bytes), &spec, &limits).map(|mut made| made.remove(0).bytes);
    let of_memory = variants(bytes, &spec, &limits).map(|mut made| made.remove(0).bytes);
    assert_eq!(of_memory.as_ref().ok(), of_file.as_ref().ok());
    of_memory
}

/// Files of 16 bits per channel: constant, noisy, and interlaced.
fn sixteen_bit_files() -> [Vec<u8>; 3] {
    let noise: Vec<u8> = (0..97 * 61 * 8_usize).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let encoded = |samples: &[u8]| {
        let mut file = Vec::new();
        PngEncoder::new(&mut file).write_image(samples, 97, 61, ExtendedColorType::Rgba16).unwrap();
        file
    };
    [encoded(&[7; 97 * 61 * 8]), encoded(&noise), interlaced_png(&noise, 97, 61)]
}

#[test]
fn an_image_is_complete_without_what_follows_its_rows() {
    for file in sixteen_bit_files() {
        let expected = outcome(&file).unwrap();
        let iend = file.len() - 12;
        // IEND, the checksum of the last chunk of image data, and that of its rows.
        for missing in 0..=20 {
            assert_eq!(outcome(&file[..file.len() - missing]).unwrap(), expected, "{missing} bytes are missing");
        }
        for end in
            [&b"\0\0\0\0IEND\0\0\0\0"[..], b"\0\0\0\x05IENDabcdefghi", &[0; 12], b"some text that follows", &[0; 9000]]
        {
            assert_eq!(outcome(&[&file[..iend], end].concat()).unwrap(), expected, "{end:x?}");
        }
        assert_eq!(outcome(&[&file[..], b"trailing"].concat()).unwrap(), expected);
        for missing in [40, 100] {
            let cut = &file[..file.len() - missing];
            assert!(matches!(outcome(cut), Err(Error::Truncated)), "{missing} bytes are missing");
        }
    }
}

#[test]
fn a_wrong_checksum_of_image_data_is_accepted_if_the_rows_have_theirs() {
    for file in sixteen_bit_files() {
        let end = file.len() - 12;
        let expected = outcome(&file).unwrap();
        // The interlaced file has a wrong checksum of its rows.
        let intact = file[end - 8..end - 4] != [0; 4];
        for damaged in [[&file[..end - 4], b"abcd", &file[end..]].concat(), [&file[..end - 4], &[0; 16]].concat()] {
            match outcome(&damaged) {
                Ok(made) => assert!(intact && made == expected),
                Err(error) => assert!(!intact && matches!(error, Error::Corrupt { .. }), "{error:?}"),
            }
        }
    }
}

#[test]
fn ancillary_chunks_with_a_wrong_checksum_are_ignored() {
    for file in sixteen_bit_files() {
        let expected = outcome(&file).unwrap();
        for (name, data) in
            [(b"gAMA", &b"\0\x01\x86\xa0"[..]), (b"eXIf", b"MM"), (b"iCCP", b"x\0\0"), (b"zzZz", b"any")]
        {
            let mut wrong = png_file(&[(name, data)])[8..].to_vec();
            *wrong.last_mut().unwrap() ^= 1;
            // Behind IHDR, and behind the image data.
            for at in [33, file.len() - 12] {
                let with = [&file[..at], &wrong, &file[at..]].concat();
                assert_eq!(outcome(&with).unwrap(), expected, "{name:?} at {at}");
            }
        }
    }
}

#[test]
fn the_orientation_is_that_of_an_exif_block_without_a_prefix() {
    let [file, ..] = sixteen_bit_files();
    let block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let orientation = |block: &[u8]| {
        let mut with = chunks(&file);
        with.insert(1, (b"eXIf", block));
        rows(&png_file(&with), 1.0).2.orientation
    };
    assert_eq!(orientation(block), Orientation::Rotate90);
    assert_eq!(orientation(&[b"Exif\0\0", &block[..]].concat()), Orientation::NoTransforms);
}
