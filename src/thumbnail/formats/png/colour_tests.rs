//! Colour spaces of whole files. The expected values are those of Chromium 147, from `getImageData` of a canvas.

use image::ImageFormat;
use moxcms::{ColorProfile, ToneReprCurve};

use super::super::test_support::zlib;
use crate::hostile_tests::png;
use crate::limits::Limits;
use crate::spec::{Output, Spec};
use crate::variants;

type Chunk<'a> = (&'a [u8; 4], &'a [u8]);

const DISPLAY_P3: Chunk = (b"cICP", &[12, 13, 0, 1]);
const LINEAR: Chunk = (b"gAMA", &100_000_u32.to_be_bytes());
const SRGB: Chunk = (b"sRGB", &[0]);

/// The chunk with these numbers.
fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Chromaticities of the white point and of primaries, in the order of cHRM.
fn display_p3_primaries() -> Vec<u8> {
    numbers(&[31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000])
}

/// iCCP with a profile that swaps red and green.
fn swapping_profile() -> Vec<u8> {
    let mut profile = ColorProfile::new_srgb();
    profile.cicp = None;
    std::mem::swap(&mut profile.red_colorant, &mut profile.green_colorant);
    iccp(&profile.encode().unwrap())
}

/// The data of an iCCP chunk.
fn iccp(profile: &[u8]) -> Vec<u8> {
    [b"name\0\0", &zlib(profile)[..]].concat()
}

/// The thumbnail's colour of an image of one colour with these chunks before its pixels.
fn shown_as(color_type: u8, pixel: &[u8], chunks: &[Chunk]) -> [u8; 3] {
    let [red, green, blue, _] = centre((8, color_type), &pixel.repeat(8), 8, chunks);
    [red, green, blue]
}

/// The middle of a thumbnail of this size of an image of 8x8 pixels with the same rows, of a depth and colour type.
fn centre((depth, color_type): (u8, u8), row: &[u8], size: u32, chunks: &[Chunk]) -> [u8; 4] {
    let header = [&numbers(&[8, 8])[..], &[depth, color_type, 0, 0, 0]].concat();
    let data = zlib(&[&[0][..], row].concat().repeat(8));
    let all = [&[(b"IHDR", &header[..])], chunks, &[(b"IDAT", &data), (b"IEND", b"")]].concat();
    let spec = Spec { width: size, height: size, output: Output::Png, ..Spec::default() };
    let made = variants(&png(&all), &[spec], &Limits { max_pixels: 100 }).unwrap();
    let image = image::load_from_memory_with_format(&made[0].bytes, ImageFormat::Png).unwrap().to_rgba8();
    image.get_pixel(size / 2, size / 2).0
}

fn rgb(pixel: [u8; 3], chunks: &[Chunk]) -> [u8; 3] {
    shown_as(2, &pixel, chunks)
}

fn near(left: [u8; 3], right: [u8; 3]) -> bool {
    left.iter().zip(right).all(|(&left, right)| left.abs_diff(right) <= 3)
}

const PIXEL: [u8; 3] = [220, 40, 40];

#[test]
fn a_colour_chunk_counts_before_those_that_follow_in_the_order_of_the_specification() {
    let swapping = swapping_profile();
    let swapping: Chunk = (b"iCCP", &swapping);
    let (p3, swapped, linear) = ([240, 0, 21], [40, 220, 40], [239, 110, 110]);
    for (chunks, expected) in [
        (&[][..], PIXEL),
        (&[DISPLAY_P3], p3),
        (&[swapping], swapped),
        (&[SRGB], PIXEL),
        (&[LINEAR], linear),
        (&[DISPLAY_P3, swapping], p3),
        (&[swapping, DISPLAY_P3], p3),
        (&[SRGB, DISPLAY_P3], p3),
        (&[LINEAR, DISPLAY_P3], p3),
        (&[swapping, SRGB], swapped),
        (&[SRGB, swapping], swapped),
        (&[LINEAR, swapping], swapped),
        (&[SRGB, LINEAR], PIXEL),
        (&[LINEAR, SRGB], PIXEL),
    ] {
        let names: Vec<_> = chunks.iter().map(|(name, _)| String::from_utf8_lossy(&name[..])).collect();
        assert!(near(rgb(PIXEL, chunks), expected), "{names:?}: {:?}", rgb(PIXEL, chunks));
    }
}

#[test]
fn colour_chunks_that_cannot_be_applied_are_ignored() {
    let swapping = swapping_profile();
    let swapping: Chunk = (b"iCCP", &swapping);
    // Reserved or unspecified primaries, a logarithmic curve, the narrow range, and those that are invalid.
    for unknown in [
        [3, 13, 0, 1],
        [200, 13, 0, 1],
        [2, 2, 0, 1],
        [12, 2, 0, 1],
        [1, 9, 0, 1],
        [12, 13, 0, 0],
        [12, 13, 1, 1],
        [12, 13, 0, 2],
    ] {
        assert!(near(rgb(PIXEL, &[(b"cICP", &unknown)]), PIXEL), "{unknown:?}");
        assert!(near(rgb(PIXEL, &[(b"cICP", &unknown), swapping]), [40, 220, 40]), "{unknown:?}");
        assert!(near(rgb(PIXEL, &[(b"cICP", &unknown), LINEAR]), [239, 110, 110]), "{unknown:?}");
    }
    let broken = iccp(&[b'x'; 200]);
    assert!(near(rgb(PIXEL, &[(b"iCCP", &broken), LINEAR]), [239, 110, 110]));
    assert!(near(rgb(PIXEL, &[(b"iCCP", &broken), SRGB, LINEAR]), PIXEL));
    let grey = iccp(&ColorProfile::new_gray_with_gamma(3.0).encode().unwrap());
    assert!(near(rgb(PIXEL, &[(b"iCCP", &grey), LINEAR]), [239, 110, 110]), "a profile of another model");
    assert!(near(rgb(PIXEL, &[(b"cICP", b"short"), LINEAR]), [239, 110, 110]));
}

#[test]
fn gamma_is_applied_unless_it_counts_as_srgb() {
    let grey = |gamma: u32, value: u8| shown_as(0, &[value], &[(b"gAMA", &gamma.to_be_bytes())])[0];
    for gamma in [43_500, 45_455, 47_500, 0] {
        assert_eq!([15, 120, 240].map(|value| grey(gamma, value)), [15, 120, 240], "{gamma}");
    }
    for (gamma, expected) in [(100_000, [69, 183, 248]), (20_000, [0, 42, 223])] {
        let is = [15, 120, 240].map(|value| grey(gamma, value));
        assert!(is.iter().zip(expected).all(|(is, expected)| is.abs_diff(expected) <= 2), "{gamma}: {is:?}");
    }
}

#[test]
fn primaries_are_applied_with_a_gamma_only() {
    let primaries = display_p3_primaries();
    let primaries: Chunk = (b"cHRM", &primaries);
    assert_eq!(rgb(PIXEL, &[primaries]), PIXEL);
    let linear = rgb(PIXEL, &[primaries, LINEAR]);
    assert!(near(linear, [255, 101, 107]), "{linear:?}");
    for invalid in [numbers(&[0; 8]), numbers(&[31_270, 32_900, 64_000, 33_000, 64_000, 33_000, 64_000, 33_000])] {
        assert_eq!(rgb(PIXEL, &[(b"cHRM", &invalid), LINEAR]), PIXEL);
    }
}

#[test]
fn primaries_without_luminance_are_applied() {
    let xyz = numbers(&[33_333, 33_333, 100_000, 0, 0, 100_000, 0, 0]);
    for (pixel, expected) in [(PIXEL, [255, 0, 124]), ([255; 3], [255; 3]), ([90, 200, 30], [0, 255, 0])] {
        for chunks in [&[(b"cHRM", &xyz[..]), LINEAR][..], &[(b"cICP", &[10, 8, 0, 1])]] {
            let is = rgb(pixel, chunks);
            assert!(near(is, expected), "{pixel:?}: {is:?}");
        }
    }
}

#[test]
fn code_points_have_the_curves_and_primaries_of_chromium() {
    for (transfer, expected) in [
        (1, [4, 113, 239]),
        (4, [9, 119, 240]),
        (5, [1, 98, 237]),
        (7, [32, 134, 242]),
        (8, [69, 183, 248]),
        (13, [15, 120, 240]),
        (17, [2, 109, 247]),
    ] {
        let is = [15, 120, 240].map(|value| shown_as(0, &[value], &[(b"cICP", &[1, transfer, 0, 1])])[0]);
        assert!(near(is, expected), "{transfer}: {is:?}");
    }
    for (primaries, pixel, expected) in
        [(9, [120, 0, 0], [229, 0, 0]), (9, [0, 120, 0], [0, 193, 0]), (10, [255; 3], [255; 3])]
    {
        let is = rgb(pixel, &[(b"cICP", &[primaries, 8, 0, 1])]);
        assert!(near(is, expected), "{primaries}: {is:?}");
    }
}

#[test]
fn high_dynamic_range_is_compressed() {
    for (transfer, expected) in [(16, [0, 42, 114, 193, 255]), (18, [2, 52, 92, 122, 243])] {
        let is = [15, 75, 120, 150, 240].map(|value| shown_as(0, &[value], &[(b"cICP", &[9, transfer, 0, 1])])[0]);
        assert!(is.iter().zip(expected).all(|(is, expected)| is.abs_diff(expected) <= 4), "{transfer}: {is:?}");
    }
}

#[test]
fn samples_of_another_curve_are_averaged_as_they_look() {
    // Black and white of linear light in turn: the mean of what is shown, not of light.
    let chunks = [LINEAR];
    assert_eq!(centre((8, 0), &[0, 255].repeat(4), 1, &chunks), [128, 128, 128, 255], "grey");
    assert_eq!(centre((16, 0), &[0, 0, 255, 255].repeat(4), 1, &chunks), [128, 128, 128, 255], "grey of 16 bits");
    let pixels = [[0, 0, 255, 255], [255, 0, 255, 255]].concat().repeat(4);
    assert_eq!(centre((8, 6), &pixels, 1, &chunks), [128, 0, 255, 255], "RGBA");
    let pixels = [[64, 128], [64, 128]].concat().repeat(4);
    assert_eq!(centre((8, 4), &pixels, 1, &chunks), [137, 137, 137, 128], "alpha is kept");
    let primaries = display_p3_primaries();
    let chunks = [LINEAR, (b"cHRM", &primaries[..])];
    assert!(near(rgb(PIXEL, &chunks), [255, 100, 106]), "{:?}", rgb(PIXEL, &chunks));
}

#[test]
fn black_and_white_are_averaged_without_a_gamma() {
    let header = [&numbers(&[8, 8])[..], &[1, 0, 0, 0, 0]].concat();
    let rows = [0, 0b0101_0101, 0, 0b1010_1010].repeat(4);
    let file = png(&[(b"IHDR", &header), LINEAR, (b"IDAT", &zlib(&rows)), (b"IEND", b"")]);
    let spec = Spec { width: 2, height: 2, output: Output::Png, ..Spec::default() };
    let made = variants(&file, &[spec], &Limits { max_pixels: 100 }).unwrap();
    let mean = image::load_from_memory(&made[0].bytes).unwrap().to_luma8().get_pixel(0, 0).0[0];
    assert!(mean.abs_diff(128) < 8, "{mean}");
}

#[test]
fn a_large_profile_is_applied() {
    let mut profile = ColorProfile::new_srgb();
    profile.cicp = None;
    for trc in [&mut profile.red_trc, &mut profile.green_trc, &mut profile.blue_trc] {
        *trc = Some(ToneReprCurve::Lut(vec![0, 65_535]));
    }
    let mut profile = profile.encode().unwrap();
    profile.resize(12 << 20, 0);
    let size = (profile.len() as u32).to_be_bytes();
    profile[..4].copy_from_slice(&size);
    assert!(near(rgb(PIXEL, &[(b"iCCP", &iccp(&profile))]), [239, 110, 110]));
}
