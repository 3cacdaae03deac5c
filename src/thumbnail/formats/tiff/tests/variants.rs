//! Variants of samples, colours and compressions, drawn by [`File`].

use proptest::prelude::*;

use super::super::super::test_support::rows;
use super::file::File;
use crate::thumbnail::raster::{Depth, Model};
use crate::thumbnail::{Error, Limits, probe, thumbnail};

const SIZE: (usize, usize) = (37, 29);

fn u16s(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|&bytes| u16::from_ne_bytes(bytes)).collect()
}

/// The samples of these channels.
fn picked(file: &File, channels: &[usize]) -> Vec<u32> {
    let pixels = file.samples.chunks(file.channels);
    pixels.flat_map(|pixel| channels.iter().map(|&channel| pixel[channel])).collect()
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

fn name(file: &File) -> String {
    let File { tiled, chunk, big_endian, planar, compression, predictor, .. } = file;
    format!("tiled {tiled} {chunk:?}, big-endian {big_endian}, planar {planar}, {compression}, predictor {predictor}")
}

#[test]
fn extra_channels_do_not_disturb_predictors_and_the_first_one_is_alpha() {
    let cases = [
        (4, 2, &[0][..], &[0, 1, 2, 3][..], Model::Rgba, false),
        (4, 2, &[1], &[0, 1, 2, 3], Model::Rgba, true),
        (5, 2, &[2, 0], &[0, 1, 2, 3], Model::Rgba, false),
        (5, 2, &[0, 2], &[0, 1, 2, 4], Model::Rgba, false),
        (6, 2, &[0, 0, 0], &[0, 1, 2, 3], Model::Rgba, false),
        (5, 5, &[0], &[0, 1, 2, 3, 4], Model::CmykAlpha, false),
        (5, 5, &[2], &[0, 1, 2, 3, 4], Model::CmykAlpha, false),
        (2, 1, &[0], &[0, 1], Model::GreyAlpha, false),
        (4, 1, &[], &[0, 1], Model::GreyAlpha, false),
    ];
    for (channels, photometric, extra, used, model, premultiplied) in cases {
        for bits in [8, 16] {
            let file = || {
                let mut file = File::new(SIZE.0, SIZE.1, channels, photometric);
                file.samples.iter_mut().for_each(|sample| *sample *= if bits == 16 { 261 } else { 1 });
                File { bits, extra: extra.to_vec(), ..file }
            };
            for file in layouts(file, &[1, 2]) {
                let (samples, _, header) = rows(&file.bytes(), 1.0);
                assert_eq!(
                    (header.model, header.premultiplied),
                    (model, premultiplied),
                    "{channels} channels {extra:?}"
                );
                let expected = picked(&file, used);
                let same = match bits {
                    8 => samples.iter().map(|&sample| u32::from(sample)).eq(expected),
                    _ => u16s(&samples).into_iter().map(u32::from).eq(expected),
                };
                assert!(same, "{channels} channels of {bits} bits {extra:?}: {}", name(&file));
            }
        }
    }
}

/// The bits of a float of 16 bits, for numbers that it has.
fn half_bits(number: f32) -> u32 {
    let bits = number.to_bits();
    if number == 0.0 { 0 } else { ((bits >> 23) - 112) << 10 | bits >> 13 & 0x3ff }
}

#[test]
fn floats_of_16_and_32_bits_are_decoded_with_both_predictors() {
    for (channels, photometric) in [(1, 1), (2, 1), (3, 2), (5, 2)] {
        for bits in [16, 32] {
            let file = || {
                let mut file = File::new(SIZE.0, SIZE.1, channels, photometric);
                let number = |sample: u32| {
                    if bits == 16 { half_bits(sample as f32 / 256.0) } else { (sample as f32 / 256.0).to_bits() }
                };
                file.samples.iter_mut().for_each(|sample| *sample = number(*sample));
                File { bits, tags: vec![(339, 3, vec![3; channels])], ..file }
            };
            let numbers = File::new(SIZE.0, SIZE.1, channels, photometric);
            for file in layouts(file, &[1, 2, 3]) {
                let (samples, _, header) = rows(&file.bytes(), 1.0);
                if channels < 3 {
                    assert_eq!(header.depth, Depth::F32);
                    let floats = samples.as_chunks::<4>().0.iter().map(|&bytes| f32::from_ne_bytes(bytes) * 256.0);
                    assert!(
                        floats.eq(numbers.samples.iter().map(|&sample| sample as f32)),
                        "{bits} bits, {}",
                        name(&file)
                    );
                    continue;
                }
                // Linear light: 0.5 is 0.735 in sRGB.
                assert_eq!(header.depth, Depth::U16);
                let colours = header.model.channels();
                for (pixel, numbers) in u16s(&samples).chunks(colours).zip(numbers.samples.chunks(channels)) {
                    let light = |sample: u32| match sample as f32 / 256.0 {
                        light @ ..=0.003_130_8 => light * 12.92,
                        light => 1.055 * light.powf(1.0 / 2.4) - 0.055,
                    };
                    for (&is, &number) in pixel[..3].iter().zip(numbers) {
                        assert!(
                            (f32::from(is) / 65535.0 - light(number)).abs() < 0.001,
                            "{is} for {number}: {}",
                            name(&file)
                        );
                    }
                    assert!(colours == 3 || pixel[3].abs_diff((numbers[3] * 256) as u16) <= 2);
                }
            }
        }
    }
}

#[test]
fn grey_floats_above_1_have_the_range_that_libvips_assumes() {
    for (bits, range) in [(16, 65535.0), (32, 255.0)] {
        for (tiled, chunk) in [(false, (SIZE.0, 7)), (true, (16, 16))] {
            let mut file = File::new(SIZE.0, SIZE.1, 1, 1);
            file.samples.iter_mut().for_each(|sample| *sample = *sample / 8 * 8);
            let expected: Vec<f32> = file.samples.iter().map(|&sample| sample as f32 / range).collect();
            let number = |sample: u32| if bits == 16 { half_bits(sample as f32) } else { (sample as f32).to_bits() };
            let samples = file.samples.iter().map(|&sample| number(sample)).collect();
            let file = File { bits, tiled, chunk, samples, tags: vec![(339, 3, vec![3])], ..file };
            let (samples, ..) = rows(&file.bytes(), 1.0);
            let floats = samples.as_chunks::<4>().0.iter().map(|&bytes| f32::from_ne_bytes(bytes));
            assert!(floats.zip(expected).all(|(is, expected)| (is - expected).abs() < 1e-6), "{bits} bits, {chunk:?}");
        }
    }
}

#[test]
fn channels_of_any_number_of_bits_are_scaled_to_the_full_range() {
    for bits in 1..16 {
        for (channels, photometric) in [(1, 1), (1, 0), (3, 2), (4, 5), (4, 2)] {
            let max = (1_u32 << bits) - 1;
            let mut file = File::new(SIZE.0, SIZE.1, channels, photometric);
            file.samples.iter_mut().for_each(|sample| *sample = (*sample * 37) & max);
            for (tiled, chunk, planar) in
                [(false, (SIZE.0, 10), false), (true, (16, 16), false), (false, (SIZE.0, 4), true)]
            {
                let file = File {
                    bits,
                    tiled,
                    chunk,
                    planar,
                    samples: file.samples.clone(),
                    ..File::new(SIZE.0, SIZE.1, channels, photometric)
                };
                let (samples, ..) = rows(&file.bytes(), 1.0);
                let full = if bits > 8 { 65535 } else { 255 };
                let expected = file.samples.iter().map(|sample| if photometric == 0 { max - sample } else { *sample });
                let expected = expected.map(|sample| (sample * full + max / 2) / max);
                let samples: Vec<u32> = match bits {
                    9.. => u16s(&samples).into_iter().map(u32::from).collect(),
                    _ => samples.into_iter().map(u32::from).collect(),
                };
                assert_eq!(samples.len(), file.samples.len());
                let near = |(&is, expected): (&u32, u32)| is.abs_diff(expected) <= u32::from(bits > 8);
                assert!(samples.iter().zip(expected).all(near), "{bits} bits, {channels} channels");
            }
        }
    }
}

#[test]
fn numbers_with_a_sign_or_of_32_bits_are_clamped_as_by_libvips() {
    let values =
        [0, 1, 100, 127, 128, 200, 255, 256, 300, 0x7fff, 0x8000, 0xff80, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let clamped = |value: i64| value.clamp(0, 255) as u32;
    let signed = |value: u32, bits: usize| i64::from((value << (32 - bits)).cast_signed() >> (32 - bits));
    for (bits, format, photometric, channels) in [
        (8, 2, 1, 1),
        (8, 2, 2, 3),
        (16, 2, 2, 3),
        (32, 2, 1, 1),
        (32, 2, 2, 3),
        (32, 1, 1, 1),
        (32, 1, 2, 3),
        (16, 2, 1, 1),
        (8, 2, 5, 4),
    ] {
        for predictor in [1, 2] {
            let mask = u32::MAX >> (32 - bits);
            let samples: Vec<u32> =
                (0..SIZE.0 * SIZE.1 * channels).map(|at| values[at % values.len()] & mask).collect();
            let file = File {
                bits,
                samples,
                compression: 8,
                predictor,
                tags: vec![(339, 3, vec![format; channels])],
                ..File::new(SIZE.0, SIZE.1, channels, photometric)
            };
            let (samples, _, header) = rows(&file.bytes(), 1.0);
            let number = |&sample: &u32| if format == 1 { sample.into() } else { signed(sample, bits) };
            let values = file.samples.iter().map(number);
            if header.depth == Depth::U16 {
                assert!(u16s(&samples).into_iter().map(i64::from).eq(values.map(|value| value.max(0))));
            } else {
                assert!(samples.into_iter().map(u32::from).eq(values.map(clamped)), "{bits} bits, format {format}");
            }
        }
    }
}

#[test]
fn palettes_of_every_depth_become_colours() {
    for bits in [1, 2, 4, 8, 16] {
        for narrow in [false, true] {
            let count = 1_u32 << bits;
            let colour = |index: u32, plane: u32| (index * 7919 + plane * 77) % 255 * if narrow { 1 } else { 256 };
            let map: Vec<u32> = (0..3).flat_map(|plane| (0..count).map(move |index| colour(index, plane))).collect();
            let mut file = File::new(SIZE.0, SIZE.1, 1, 3);
            file.samples.iter_mut().for_each(|sample| *sample = (*sample * 31) & (count - 1));
            for (tiled, chunk) in [(false, (SIZE.0, 5)), (true, (32, 16))] {
                let file = File {
                    bits,
                    tiled,
                    chunk,
                    compression: 5,
                    samples: file.samples.clone(),
                    tags: vec![(320, 3, map.clone())],
                    ..File::new(SIZE.0, SIZE.1, 1, 3)
                };
                let (samples, _, header) = rows(&file.bytes(), 1.0);
                assert_eq!(header.model, Model::Rgb);
                let scale = match (bits, narrow) {
                    (16, true) => 257.0,
                    (16, false) | (_, true) => 1.0,
                    _ => 1.0 / 256.0,
                };
                let expected = file
                    .samples
                    .iter()
                    .flat_map(|&index| [0, 1, 2].map(|plane| (colour(index, plane) as f32 * scale) as u32));
                let same = if bits == 16 {
                    u16s(&samples).into_iter().map(u32::from).eq(expected)
                } else {
                    samples.into_iter().map(u32::from).eq(expected)
                };
                assert!(same, "{bits} bits, narrow {narrow}");
            }
        }
    }
}

#[test]
fn a_palette_with_too_few_colours_is_damaged() {
    let file = File { tags: vec![(320, 3, vec![7; 3 * 255])], ..File::new(8, 8, 1, 3) };
    let error = thumbnail(&file.bytes(), &Limits { max_pixels: 1 << 20 }).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}

#[test]
fn subsampled_ycbcr_without_jpeg_repeats_chroma() {
    for (x_factor, y_factor) in [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4), (1, 2)] {
        for (tiled, chunk) in [(false, (SIZE.0, 8)), (true, (16, 16))] {
            let value = |x: usize, y: usize, channel: usize| match channel {
                0 => (x * 7 + y * 3) % 256,
                _ => (x / x_factor * 31 + y / y_factor * 17 + channel * 40) % 256,
            } as u8;
            let mut chunks = Vec::new();
            for top in (0..SIZE.1).step_by(chunk.1) {
                let bottom = if tiled { top + chunk.1 } else { SIZE.1.min(top + chunk.1) };
                for left in (0..SIZE.0).step_by(chunk.0) {
                    let mut units = Vec::new();
                    for y in (top..bottom).step_by(y_factor) {
                        for x in (left..left + chunk.0).step_by(x_factor) {
                            units.extend(
                                (0..y_factor).flat_map(|dy| (0..x_factor).map(move |dx| value(x + dx, y + dy, 0))),
                            );
                            units.extend([value(x, y, 1), value(x, y, 2)]);
                        }
                    }
                    chunks.push(units);
                }
            }
            let expected: Vec<u8> = (0..SIZE.1)
                .flat_map(|y| (0..SIZE.0).flat_map(move |x| (0..3).map(move |channel| value(x, y, channel))))
                .collect();
            let factors = (530, 3, vec![x_factor as u32, y_factor as u32]);
            let mut file = File { tiled, chunk, tags: vec![factors], ..File::new(SIZE.0, SIZE.1, 3, 6) };
            let (samples, _, header) = rows(&file.with_chunks(&chunks), 1.0);
            assert_eq!(header.model, Model::YCbCr);
            assert!(samples == expected, "{x_factor}x{y_factor} {chunk:?}");
            // Video levels: 16 is black, 235 white.
            file.tags.push((532, 5, vec![16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1]));
            let (samples, _, header) = rows(&file.with_chunks(&chunks), 1.0);
            assert_eq!(header.model, Model::Rgb);
            for (rgb, ycc) in samples.chunks(3).zip(expected.chunks(3)) {
                let (y, cr) = ((f32::from(ycc[0]) - 16.0) * 255.0 / 219.0, (f32::from(ycc[2]) - 128.0) * 127.0 / 112.0);
                assert!((f32::from(rgb[0]) - (y + 1.402 * cr).clamp(0.0, 255.0)).abs() <= 1.0);
            }
        }
    }
}

#[test]
fn lab_of_8_and_16_bits_becomes_srgb() {
    // L*, a*, b* of D50 in whole numbers, and sRGB (by Bruce Lindbloom's equations).
    let colours = [
        ([100.0, 0.0, 0.0], [255, 255, 255]),
        ([0.0, 0.0, 0.0], [0, 0, 0]),
        ([54.0, 81.0, 70.0], [255, 0, 0]),
        ([50.0, 0.0, 0.0], [119, 119, 119]),
        ([88.0, -79.0, 81.0], [0, 255, 0]),
    ];
    for ([l, a, b], expected) in colours {
        let byte = |number: f32| (number as i32 & 255) as u32;
        let word = |number: f32| ((number * 256.0) as i32 & 0xffff) as u32;
        let cases = [
            (8, 8, [byte(l * 2.55 + 0.5), byte(a), byte(b)]),
            (8, 16, [(l * 655.35) as u32, word(a), word(b)]),
            (9, 8, [byte(l * 2.55 + 0.5), byte(a + 128.0), byte(b + 128.0)]),
            (9, 16, [(l * 652.8) as u32, word(a + 128.0), word(b + 128.0)]),
        ];
        for (photometric, bits, pixel) in cases {
            let file = File { bits, samples: pixel.repeat(16), ..File::new(4, 4, 3, photometric) };
            let (samples, _, header) = rows(&file.bytes(), 1.0);
            assert_eq!((header.model, header.depth), (Model::Rgb, Depth::U16));
            let is = u16s(&samples)[..3].iter().map(|sample| sample / 257).collect::<Vec<u16>>();
            assert!(
                is.iter().zip(expected).all(|(&is, expected)| is.abs_diff(expected) <= 15),
                "{photometric} {bits}: {is:?} instead of {expected:?}"
            );
        }
    }
}

#[test]
fn tiles_under_the_tags_of_strips_and_strips_without_lengths_are_decoded() {
    let plain = File::new(SIZE.0, SIZE.1, 3, 2);
    let (expected, ..) = rows(&plain.bytes(), 1.0);
    let tiled = File { tiled: true, chunk: (16, 16), compression: 8, ..File::new(SIZE.0, SIZE.1, 3, 2) };
    let mut bytes = tiled.bytes();
    let directory = u32::from_le_bytes(*bytes[4..].first_chunk().unwrap()) as usize;
    for entry in bytes[directory + 2..].chunks_exact_mut(12) {
        match u16::from_le_bytes([entry[0], entry[1]]) {
            324 => entry[..2].copy_from_slice(&273_u16.to_le_bytes()),
            325 => entry[..2].copy_from_slice(&279_u16.to_le_bytes()),
            _ => {}
        }
    }
    assert!(rows(&bytes, 1.0).0 == expected);
    for lengths in [vec![], vec![0; SIZE.1.div_ceil(7)]] {
        let file = File { chunk: (SIZE.0, 7), tags: vec![(279, 4, lengths)], ..File::new(SIZE.0, SIZE.1, 3, 2) };
        assert!(rows(&file.bytes(), 1.0).0 == expected);
    }
}

#[test]
fn strips_and_tiles_of_jpeg_and_webp_are_decoded() {
    use image::{ImageFormat, RgbImage};
    let colour = |x: usize, y: usize| [(x * 6) as u8, (y * 8) as u8, 90];
    for (tiled, chunk) in [(false, (SIZE.0, 16)), (true, (32, 16))] {
        for (compression, photometric, format) in [(7, 6, ImageFormat::Jpeg), (50001, 2, ImageFormat::WebP)] {
            let mut chunks = Vec::new();
            for top in (0..SIZE.1).step_by(chunk.1) {
                let rows = if tiled { chunk.1 } else { chunk.1.min(SIZE.1 - top) };
                for left in (0..SIZE.0).step_by(chunk.0) {
                    let image = RgbImage::from_fn(chunk.0 as u32, rows as u32, |x, y| {
                        image::Rgb(colour((left + x as usize).min(40), (top + y as usize).min(30)))
                    });
                    let mut bytes = std::io::Cursor::new(Vec::new());
                    image.write_to(&mut bytes, format).unwrap();
                    chunks.push(bytes.into_inner());
                }
            }
            let file = File { tiled, chunk, compression, ..File::new(SIZE.0, SIZE.1, 3, photometric) };
            let (samples, _, header) = rows(&file.with_chunks(&chunks), 1.0);
            for (at, pixel) in samples.chunks(3).enumerate() {
                let expected = colour(at % SIZE.0, at / SIZE.0);
                // Luma, or red.
                let (is, expected) = match header.model {
                    Model::YCbCr => (
                        pixel[0],
                        (0.299 * f32::from(expected[0]) + 0.587 * f32::from(expected[1]) + 0.114 * 90.0) as u8,
                    ),
                    _ => (pixel[0], expected[0]),
                };
                assert!(is.abs_diff(expected) < 16, "{compression}, {chunk:?}: {is} instead of {expected} at {at}");
            }
        }
    }
}

#[test]
fn unsupported_variants_are_refused_at_the_upload_by_name() {
    let file = |photometric, channels| File::new(8, 8, channels, photometric);
    let compressed = |compression| File { compression, ..file(2, 3) };
    let cases = [
        (compressed(6), "TIFF with old-style JPEG compression"),
        (compressed(34925), "TIFF with LZMA compression"),
        (compressed(34712), "TIFF with JPEG 2000 compression"),
        (compressed(12345), "TIFF with an unknown compression"),
        (file(4, 1), "TIFF whose first page is a transparency mask"),
        (file(10, 3), "TIFF with ITU Lab colours"),
        (file(32803, 1), "Camera raw"),
        (file(32845, 3), "TIFF with LogLuv colours"),
        (
            File { tags: vec![(262, 3, vec![])], ..file(1, 1) },
            "TIFF that does not name its colour model (PhotometricInterpretation)",
        ),
        (File { bits: 24, ..file(1, 1) }, "TIFF with integers of 24 bits"),
        (File { tags: vec![(339, 3, vec![6])], ..file(1, 1) }, "TIFF with complex numbers"),
        (File { tags: vec![(258, 3, vec![64]), (339, 3, vec![3])], ..file(1, 1) }, "TIFF with floats of 64 bits"),
        (File { tags: vec![(258, 3, vec![8, 8, 4])], ..file(2, 3) }, "TIFF whose channels have different depths"),
        (File { tags: vec![(332, 3, vec![2])], ..file(5, 4) }, "TIFF with inks other than CMYK"),
        (File { bits: 12, predictor: 2, compression: 5, ..file(1, 1) }, "TIFF with this predictor"),
        (File { planar: true, ..file(6, 3) }, "TIFF with subsampled chroma in planes or with extra channels"),
    ];
    for (file, name) in cases {
        let chunks = vec![vec![0; 8 * 8 * 64]; if file.planar { file.channels } else { 1 }];
        let error =
            probe(std::io::Cursor::new(file.with_chunks(&chunks)), &Limits { max_pixels: 1 << 20 }).unwrap_err();
        assert!(matches!(error, Error::UnsupportedVariant { name: found, .. } if found == name), "{name}: {error:?}");
        assert!(!error.message().contains("send a") && error.message().contains("PNG or JPEG"), "{}", error.message());
    }
}

#[test]
fn jpeg_data_of_12_bits_are_refused_at_the_upload() {
    let jpeg = [0xff, 0xd8, 0xff, 0xc1, 0, 11, 12, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xff, 0xd9];
    for tiled in [false, true] {
        let file = File { compression: 7, tiled, chunk: (16, 16), ..File::new(8, 8, 1, 1) };
        let bytes = file.with_chunks(&[jpeg.to_vec()]);
        let error = probe(std::io::Cursor::new(bytes), &Limits { max_pixels: 1 << 20 }).unwrap_err();
        assert!(matches!(error, Error::UnsupportedVariant { name, .. } if name.contains("12-bit")), "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_of_any_variant_cause_no_panic(
        (compression, photometric, bits) in (0_usize..11, 0_usize..8, 0_usize..7),
        (channels, predictor, format) in (1_usize..7, 1_u32..4, 1_u32..4),
        (tiled, planar, big_endian) in (any::<bool>(), any::<bool>(), any::<bool>()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let file = File {
            compression: [1, 2, 3, 4, 5, 7, 8, 32771, 32773, 50000, 50001][compression],
            photometric: [0, 1, 2, 3, 5, 6, 8, 9][photometric],
            bits: [1, 2, 4, 8, 12, 16, 32][bits],
            chunk: if tiled { (16, 16) } else { (SIZE.0, 10) },
            predictor,
            tiled,
            planar,
            big_endian,
            tags: vec![(339, 3, vec![format; channels]), (320, 3, vec![9; 3 << 8])],
            ..File::new(SIZE.0, SIZE.1, channels, 1)
        };
        let mut bytes = file.bytes();
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Err(Error::Corrupt { source }) = thumbnail(&bytes, &Limits { max_pixels: 1 << 20 }) {
            prop_assert!(source.to_string() != "a decoder panicked");
        }
    }
}
