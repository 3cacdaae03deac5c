//! Samples of every type and depth, predictors, and extra channels.

use super::super::super::test_support::{rows, rows_of};
use super::file::File;
use super::{SIZE, layouts, u16s};
use crate::raster::{Area, Depth, Model};

/// The samples of these channels.
fn picked(file: &File, channels: &[usize]) -> Vec<u32> {
    let pixels = file.samples.chunks(file.channels);
    pixels.flat_map(|pixel| channels.iter().map(|&channel| pixel[channel])).collect()
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
fn numbers_with_a_sign_are_clamped_as_by_libvips() {
    let values =
        [0, 1, 100, 127, 128, 200, 255, 256, 300, 0x7fff, 0x8000, 0xff80, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    let clamped = |value: i64| value.clamp(0, 255) as u32;
    let signed = |value: u32, bits: usize| i64::from((value << (32 - bits)).cast_signed() >> (32 - bits));
    for (bits, photometric, channels) in
        [(8, 1, 1), (8, 2, 3), (16, 2, 3), (32, 1, 1), (32, 2, 3), (16, 1, 1), (8, 5, 4)]
    {
        for predictor in [1, 2] {
            let mask = u32::MAX >> (32 - bits);
            let samples: Vec<u32> =
                (0..SIZE.0 * SIZE.1 * channels).map(|at| values[at % values.len()] & mask).collect();
            let file = File {
                bits,
                samples,
                compression: 8,
                predictor,
                tags: vec![(339, 3, vec![2; channels])],
                ..File::new(SIZE.0, SIZE.1, channels, photometric)
            };
            let (samples, _, header) = rows(&file.bytes(), 1.0);
            let values = file.samples.iter().map(|&sample| signed(sample, bits));
            if header.depth == Depth::U16 {
                assert!(u16s(&samples).into_iter().map(i64::from).eq(values.map(|value| value.max(0))));
            } else {
                assert!(samples.into_iter().map(u32::from).eq(values.map(clamped)), "{bits} bits, {channels} channels");
            }
        }
    }
}

#[test]
fn the_largest_integer_of_32_bits_decides_between_ranges_of_8_16_and_32_bits() {
    for (range, factor) in [(255, 1), (65535, 257), (u32::MAX, 0x0101_0101)] {
        for (photometric, channels) in [(0, 1), (1, 1), (0, 2), (2, 3), (2, 4), (5, 4)] {
            for (predictor, planar) in [(1, false), (2, false), (1, true)] {
                let mut file = File::new(SIZE.0, SIZE.1, channels, photometric);
                file.samples[0] = 255;
                let white =
                    |at: usize| -> u32 { if photometric == 0 && at.is_multiple_of(channels) { 255 } else { 0 } };
                let expected: Vec<u32> =
                    file.samples.iter().enumerate().map(|(at, sample)| white(at).abs_diff(*sample)).collect();
                file.samples.iter_mut().for_each(|sample| *sample *= factor);
                let file = File { bits: 32, compression: 8, predictor, planar, ..file };
                let (samples, _, header) = rows(&file.bytes(), 1.0);
                assert_eq!(header.depth, Depth::F32);
                let floats = samples.as_chunks::<4>().0.iter().map(|&bytes| f32::from_ne_bytes(bytes) * 255.0);
                let near = floats.zip(expected).all(|(is, expected)| (is - expected as f32).abs() < 0.01);
                assert!(near, "up to {range}, {channels} channels of model {photometric}, predictor {predictor}");
            }
        }
    }
}

#[test]
fn the_range_is_that_of_the_whole_page_even_if_only_an_area_is_needed() {
    for (chunk, tiled) in [((SIZE.0, 7), false), ((16, 16), true)] {
        let mut file = File::new(SIZE.0, SIZE.1, 1, 1);
        let last = file.samples.len() - 1;
        file.samples[last] = 65535;
        let expected: Vec<f32> = file.samples[..SIZE.0].iter().map(|&sample| sample as f32 / 65535.0).collect();
        assert!(expected.iter().any(|sample| *sample > 0.0));
        let file = File { bits: 32, chunk, tiled, ..file };
        let (samples, ..) = rows_of(&file.bytes(), 1.0, |plane| Area { columns: 0..plane.width, rows: 0..1 });
        let row = samples.as_chunks::<4>().0[..SIZE.0].iter().map(|&bytes| f32::from_ne_bytes(bytes));
        assert!(row.zip(expected).all(|(is, expected)| (is - expected).abs() < 1e-6), "tiled {tiled}");
    }
}

#[test]
fn numbers_of_tags_can_be_of_signed_types() {
    let file = File { compression: 8, predictor: 2, ..File::new(SIZE.0, SIZE.1, 3, 2) };
    let expected = rows(&file.bytes(), 1.0).0;
    for kind in [1, 3, 4, 6, 8, 9] {
        let file = File { tags: vec![(317, kind, vec![2]), (277, kind, vec![3])], compression: 8, ..copy(&file) };
        assert!(rows(&file.bytes(), 1.0).0 == expected, "type {kind}");
    }
}

fn copy(file: &File) -> File {
    let &File { width, height, predictor, .. } = file;
    File { predictor, samples: file.samples.clone(), ..File::new(width, height, file.channels, file.photometric) }
}
