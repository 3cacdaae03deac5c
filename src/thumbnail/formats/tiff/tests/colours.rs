//! Colour models.

use super::super::super::test_support::rows;
use super::file::File;
use super::{LIMITS, SIZE, u16s};
use crate::raster::{Depth, Model};
use crate::{Error, thumbnail};

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
    let error = thumbnail(&file.bytes(), &LIMITS).unwrap_err();
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

/// The sRGB levels of Lab (CIE 15, IEC 61966-2-1), with the matrix of Bruce Lindbloom for the white point D50.
fn srgb([l, a, b]: [f64; 3]) -> [f64; 3] {
    let y = (l + 16.0) / 116.0;
    let inverse = |f: f64| if f.powi(3) > 216.0 / 24389.0 { f.powi(3) } else { (116.0 * f - 16.0) * 27.0 / 24389.0 };
    let xyz = [inverse(y + a / 500.0) * 0.96422, inverse(y), inverse(y - b / 200.0) * 0.82521];
    let matrix =
        [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540], [0.0719453, -0.2289914, 1.4052427]];
    matrix.map(|row| {
        let light = row.iter().zip(xyz).map(|(factor, value)| factor * value).sum::<f64>().clamp(0.0, 1.0);
        255.0 * if light <= 0.0031308 { 12.92 * light } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
    })
}

/// The photometric interpretation, the bits, the samples of a colour, and the colour that they are rounded to.
fn lab_encodings([l, a, b]: [f64; 3]) -> [(u32, usize, [u32; 3], [f64; 3]); 4] {
    let (l8, a, b) = ((l * 2.55).round(), a.round(), b.round());
    let (cie, icc) = ((l * 655.35).round(), (l * 652.8).round());
    let byte = |number: f64| (number as i32 & 255) as u32;
    let word = |number: f64| ((number * 256.0) as i32 & 0xffff) as u32;
    [
        (8, 8, [l8 as u32, byte(a), byte(b)], [l8 / 2.55, a, b]),
        (8, 16, [cie as u32, word(a), word(b)], [cie / 655.35, a, b]),
        (9, 8, [l8 as u32, byte(a + 128.0), byte(b + 128.0)], [l8 / 2.55, a, b]),
        (9, 16, [icc as u32, word(a + 128.0), word(b + 128.0)], [icc / 652.8, a, b]),
    ]
}

#[test]
fn lab_of_8_and_16_bits_becomes_srgb() {
    let colours = [
        [100.0, 0.0, 0.0],
        [0.0, 0.0, 0.0],
        [53.2, 80.0, 67.0],
        [50.0, 0.0, 0.0],
        [87.0, -79.0, 81.0],
        [30.0, 10.0, -50.0],
        [3.0, 1.0, -2.0],
    ];
    for (photometric, bits, pixel, lab) in colours.into_iter().flat_map(lab_encodings) {
        // The colour model determines the signs, whatever the sample format says.
        for formats in [vec![1; 3], vec![2; 3], vec![4; 3], vec![1, 2, 2]] {
            let tags = vec![(339, 3, formats)];
            let file = File { bits, samples: pixel.repeat(16), tags, ..File::new(4, 4, 3, photometric) };
            let (samples, _, header) = rows(&file.bytes(), 1.0);
            assert_eq!((header.model, header.depth), (Model::Rgb, Depth::U16));
            for (&is, expected) in u16s(&samples)[..3].iter().zip(srgb(lab)) {
                let is = f64::from(is) / 257.0;
                assert!((is - expected).abs() < 1.5, "{photometric}, {bits} bits, {lab:?}: {is} instead of {expected}");
            }
        }
    }
}

#[test]
fn conversions_that_are_not_linear_divide_by_associated_alpha_first() {
    let floats = [0.25_f32, 0.25, 0.25, 0.5, 0.0, 0.0, 0.0, 0.0].map(f32::to_bits);
    let tags = vec![(339, 3, vec![3; 4])];
    let linear = File { bits: 32, samples: floats.to_vec(), extra: vec![1], tags, ..File::new(2, 1, 4, 2) };
    // L* and b* are multiplied by an alpha of 0.4.
    let lab = [81, 0, 8, 102, 0, 0, 0, 0];
    let lab = File { samples: lab.to_vec(), extra: vec![1], ..File::new(2, 1, 4, 8) };
    let expected = srgb([81.0 / 2.55 / 0.4, 0.0, 20.0]);
    for (file, expected) in
        [(linear, [187.5, 187.5, 187.5, 127.5]), (lab, [expected[0], expected[1], expected[2], 102.0])]
    {
        let (samples, _, header) = rows(&file.bytes(), 1.0);
        assert_eq!((header.model, header.premultiplied), (Model::Rgba, false));
        let samples: Vec<f64> = u16s(&samples).into_iter().map(|sample| f64::from(sample) / 257.0).collect();
        assert!(samples.iter().zip(expected).all(|(is, expected)| (is - expected).abs() < 1.0), "{samples:?}");
        assert_eq!(samples[4..], [0.0; 4]);
    }
}

#[test]
fn an_unreadable_profile_does_not_change_the_colours_of_floats() {
    let samples = File::new(SIZE.0, SIZE.1, 3, 2).samples;
    let samples: Vec<u32> = samples.iter().map(|&sample| (sample as f32 / 256.0).to_bits()).collect();
    let file = |profile: &[u32]| {
        let tags = vec![(339, 3, vec![3; 3]), (34675, 7, profile.to_vec())];
        File { bits: 32, samples: samples.clone(), tags, ..File::new(SIZE.0, SIZE.1, 3, 2) }.bytes()
    };
    let (expected, _, header) = rows(&file(&[]), 1.0);
    assert_eq!(header.depth, Depth::U16);
    assert!(rows(&file(&[7; 200]), 1.0).0 == expected);
}
