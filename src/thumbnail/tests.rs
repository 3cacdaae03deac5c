//! The whole pipeline, with files of other programs (`tests/fixtures/`) and files derived from them.

use std::fs;
use std::io::{self, Cursor};
use std::path::PathBuf;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, RgbaImage};

use super::formats::test_support::exif;
use super::*;

const LIMITS: Limits = Limits { max_pixels: 100_000_000 };

fn fixture(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)).unwrap()
}

/// File name, thumbnail format, and the mean colours of the quadrants and the centre.
fn expected() -> Vec<(String, String, Vec<f64>)> {
    let lines = String::from_utf8(fixture("expected.csv")).unwrap();
    let row = |line: &str| {
        let mut fields = line.split(',').map(str::to_owned);
        let (name, format) = (fields.next().unwrap(), fields.next().unwrap());
        (name, format, fields.map(|field| field.parse().unwrap()).collect())
    };
    lines.lines().map(row).collect()
}

/// The thumbnail on a white background.
fn on_white(thumbnail: &Thumbnail) -> RgbImage {
    let image = image::load_from_memory(&thumbnail.bytes).unwrap().to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0;
        let over = |channel: u8| (u32::from(channel) * u32::from(alpha) + 255 * (255 - u32::from(alpha))).div_ceil(255);
        Rgb([red, green, blue].map(|channel| over(channel).min(255) as u8))
    })
}

fn means(image: &RgbImage) -> Vec<f64> {
    let boxes = [(0, 0, 150), (150, 0, 150), (0, 150, 150), (150, 150, 150), (130, 130, 40)];
    let mean = |(left, top, side): (u32, u32, u32), channel: usize| {
        let pixels = (top..top + side).flat_map(|y| (left..left + side).map(move |x| (x, y)));
        let sum: f64 = pixels.map(|(x, y)| f64::from(image.get_pixel(x, y).0[channel])).sum();
        sum / f64::from(side * side)
    };
    boxes.into_iter().flat_map(|area| (0..3).map(move |channel| mean(area, channel))).collect()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

#[test]
fn every_fixture_matches_pillow() {
    for (name, format, expected) in expected() {
        let bytes = fixture(&name);
        probe(Cursor::new(&bytes), &LIMITS).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let thumbnail = thumbnail(&bytes, &LIMITS).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(thumbnail.format.extension(), format, "{name}");
        let image = on_white(&thumbnail);
        assert_eq!((image.width(), image.height()), (thumbnail.width, thumbnail.height));
        assert_eq!(image.dimensions(), (300, 300), "{name}");
        let tolerance = match name.as_str() {
            // Pillow converts CMYK without a profile to its complement instead of simulating print.
            "cmyk.tiff" => 60.0,
            // Pillow clamps overshoot between its two passes, which is visible in black and white images.
            "1.bmp" | "fax4.tiff" | "grey-1.png" => 5.0,
            // Two colour engines interpolate the same coarse table.
            "cmyk-icc.jpg" | "cmyk-icc.tiff" => 7.0,
            _ => 1.5,
        };
        for (is, expected) in means(&image).iter().zip(&expected) {
            assert!((is - expected).abs() <= tolerance, "{name}: {:.1?} instead of {expected:?}", means(&image));
        }
    }
}

/// The JPEG with an EXIF block of only this orientation.
fn oriented(jpeg: &[u8], value: u8) -> Vec<u8> {
    [&jpeg[..2], b"\xff\xe1\0\x22Exif\0\0", &exif(value), &jpeg[2..]].concat()
}

#[test]
fn a_jpeg_of_any_orientation_becomes_upright() {
    let upright = image::load_from_memory(&fixture("lossless.webp")).unwrap();
    let expected = means(&on_white(&thumbnail(&encoded(&upright, ImageFormat::Jpeg), &LIMITS).unwrap()));
    for value in 1..=8 {
        let stored = match value {
            1 => upright.clone(),
            2 => upright.fliph(),
            3 => upright.rotate180(),
            4 => upright.flipv(),
            5 => upright.rotate90().fliph(),
            6 => upright.rotate270(),
            7 => upright.rotate270().fliph(),
            _ => upright.rotate90(),
        };
        let bytes = oriented(&encoded(&stored, ImageFormat::Jpeg), value);
        let rotated = means(&on_white(&thumbnail(&bytes, &LIMITS).unwrap()));
        for (is, expected) in rotated.iter().zip(&expected) {
            assert!((is - expected).abs() < 2.0, "EXIF orientation {value}");
        }
    }
}

#[test]
fn an_embedded_profile_is_applied_and_not_copied() {
    let p3 = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let image = RgbImage::from_pixel(64, 64, Rgb([204, 102, 77]));
    let jpeg = encoded(&image.into(), ImageFormat::Jpeg);
    let length = (p3.len() as u16 + 16).to_be_bytes();
    let bytes = [&jpeg[..2], b"\xff\xe2", &length, b"ICC_PROFILE\0\x01\x01", &p3, &jpeg[2..]].concat();
    let thumbnail = thumbnail(&bytes, &LIMITS).unwrap();
    let middle = on_white(&thumbnail).get_pixel(150, 150).0;
    assert!(middle.iter().zip([219, 94, 68]).all(|(is, expected)| is.abs_diff(expected) <= 3), "{middle:?}");
    assert!(!thumbnail.bytes.windows(11).any(|window| window == b"ICC_PROFILE"));
}

/// The JPEG with a profile in as many segments as it takes.
fn with_profile(jpeg: &[u8], profile: &[u8], copies: usize) -> Vec<u8> {
    let chunks: Vec<&[u8]> = profile.chunks(65_519).collect();
    let segment = |(at, chunk): (usize, &&[u8])| {
        let length = (chunk.len() as u16 + 16).to_be_bytes();
        [b"\xff\xe2", &length[..], b"ICC_PROFILE\0", &[at as u8 + 1, chunks.len() as u8], chunk].concat()
    };
    let segments: Vec<u8> = chunks.iter().enumerate().flat_map(segment).collect();
    [&jpeg[..2], &segments.repeat(copies), &jpeg[2..]].concat()
}

#[test]
fn a_profile_that_is_large_or_stored_twice_is_applied() {
    let small = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let jpeg = encoded(&RgbImage::from_pixel(64, 64, Rgb([204, 102, 77])).into(), ImageFormat::Jpeg);
    for (bytes, copies) in [(small.len(), 1), (small.len(), 2), (5 << 20, 1), (5 << 20, 2), (255 * 65_519, 1)] {
        let mut profile = small.clone();
        profile.resize(bytes, 0);
        profile[..4].copy_from_slice(&(bytes as u32).to_be_bytes());
        let thumbnail = thumbnail(&with_profile(&jpeg, &profile, copies), &LIMITS).unwrap();
        let middle = on_white(&thumbnail).get_pixel(150, 150).0;
        let applied = middle.iter().zip([219, 94, 68]).all(|(is, expected)| is.abs_diff(expected) <= 3);
        assert!(applied, "{copies} of {bytes} bytes: {middle:?}");
    }
}

#[test]
fn cmyk_is_inverted_with_and_without_an_adobe_segment() {
    for name in ["cmyk.jpg", "cmyk-icc.jpg"] {
        let bytes = fixture(name);
        let adobe = bytes.windows(2).position(|window| window == b"\xff\xee").unwrap();
        let without = [&bytes[..adobe], &bytes[adobe + 16..]].concat();
        assert_eq!(thumbnail(&without, &LIMITS).unwrap(), thumbnail(&bytes, &LIMITS).unwrap(), "{name}");
        // A JFIF segment or other component ids change nothing.
        let jfif = [&without[..2], b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", &without[2..]].concat();
        assert_eq!(thumbnail(&jfif, &LIMITS).unwrap(), thumbnail(&bytes, &LIMITS).unwrap(), "{name}");
    }
}

#[test]
fn transparent_pixels_contribute_no_colour() {
    let image =
        RgbaImage::from_fn(200, 200, |x, _| image::Rgba(if x < 100 { [255, 0, 0, 255] } else { [0, 255, 0, 0] }));
    let thumbnail = thumbnail(&encoded(&image.into(), ImageFormat::Png), &LIMITS).unwrap();
    assert_eq!(thumbnail.format, Format::Png);
    let small = image::load_from_memory(&thumbnail.bytes).unwrap().to_rgba8();
    assert!(small.pixels().any(|pixel| (1..255).contains(&pixel.0[3])), "there is an edge");
    assert!(small.pixels().all(|&image::Rgba([red, green, _, alpha])| alpha == 0 || (red == 255 && green == 0)));
    assert_eq!(small.get_pixel(299, 0).0, [0, 0, 0, 0]);
}

#[test]
fn only_visible_alpha_selects_png() {
    let format = |transparent: u32| {
        let pixel = move |x: u32, _| image::Rgba([9, 99, 199, if x == transparent { 0 } else { 255 }]);
        let image = RgbaImage::from_fn(900, 300, pixel);
        thumbnail(&encoded(&image.into(), ImageFormat::Png), &LIMITS).unwrap().format
    };
    assert_eq!(format(10), Format::Jpeg, "the edge is cropped");
    assert_eq!(format(450), Format::Png);
}

#[test]
fn extreme_shapes_fill_the_square() {
    for (width, height) in [(1, 1), (1, 2), (2, 1), (10_000, 1), (1, 10_000), (65_535, 2), (299, 301)] {
        let image = RgbImage::from_pixel(width, height, Rgb([40, 120, 200]));
        let thumbnail = thumbnail(&encoded(&image.into(), ImageFormat::Png), &LIMITS).unwrap();
        let image = on_white(&thumbnail);
        assert_eq!(image.dimensions(), (300, 300));
        let even =
            image.pixels().all(|pixel| pixel.0.iter().zip([40, 120, 200]).all(|(&is, was)| is.abs_diff(was) < 4));
        assert!(even, "{width}x{height}");
    }
}

#[test]
fn the_same_bytes_give_the_same_thumbnail() {
    for name in ["420.jpg", "cmyk-icc.jpg", "rgba-16.png"] {
        let bytes = fixture(name);
        assert_eq!(thumbnail(&bytes, &LIMITS).unwrap(), thumbnail(&bytes, &LIMITS).unwrap());
    }
}

#[test]
fn each_of_several_thumbnails_equals_a_single_one() {
    let bytes = fixture("420.jpg");
    let spec = |fit, width, height| Spec { fit, width, height, ..Spec::default() };
    let specs =
        [spec(Fit::Cover, 300, 300), spec(Fit::Inside, 90, 90), spec(Fit::Contain, 64, 96), spec(Fit::Cover, 7, 3)];
    let made = variants(&bytes, &specs, &LIMITS).unwrap();
    let sizes: Vec<(u32, u32)> = made.iter().map(|made| (made.width, made.height)).collect();
    assert_eq!(sizes, [(300, 300), (90, 68), (64, 96), (7, 3)]);
    assert_eq!(made[0], thumbnail(&bytes, &LIMITS).unwrap());
    for thumbnail in &made {
        let image = image::load_from_memory(&thumbnail.bytes).unwrap();
        assert_eq!((image.width(), image.height()), (thumbnail.width, thumbnail.height));
    }
}

#[test]
fn the_margin_of_contain_is_black_or_transparent() {
    let corner_and_middle = |name: &str, output| {
        let spec = Spec { fit: Fit::Contain, width: 100, height: 200, output, ..Spec::default() };
        let thumbnail = variants(&fixture(name), &[spec], &LIMITS).unwrap().remove(0);
        let image = image::load_from_memory(&thumbnail.bytes).unwrap().to_rgba8();
        (thumbnail.format, image.get_pixel(3, 3).0, image.get_pixel(20, 100).0[3])
    };
    assert_eq!(corner_and_middle("420.jpg", Output::Jpeg), (Format::Jpeg, [0, 0, 0, 255], 255));
    assert_eq!(corner_and_middle("420.jpg", Output::Png), (Format::Png, [0, 0, 0, 0], 255));
    assert_eq!(corner_and_middle("rgba.png", Output::Jpeg), (Format::Png, [0, 0, 0, 0], 255));
    assert_eq!(corner_and_middle("rgba-opaque.png", Output::Jpeg), (Format::Jpeg, [0, 0, 0, 255], 255));
}

#[test]
fn directly_encoded_ycbcr_is_aligned_with_converted_pixels() {
    for value in 1..=8 {
        let bytes = oriented(&fixture("odd-size.jpg"), value);
        for (width, height) in [(101, 77), (64, 99), (37, 37)] {
            let spec = Spec { fit: Fit::Inside, width, height, quality: 95, ..Spec::default() };
            let both = [spec, Spec { output: Output::Png, ..spec }];
            let made = variants(&bytes, &both, &LIMITS).unwrap();
            let converted = image::load_from_memory(&made[1].bytes).unwrap().to_rgba8();
            let (width, height) = (converted.width() as usize, converted.height() as usize);
            let pixels = raster::Srgb { width, height, rgba: converted.pixels().map(|pixel| pixel.0).collect() };
            let converted = encode::encode(&pixels, &spec).unwrap();
            let [direct, converted] =
                [&made[0], &converted].map(|made| image::load_from_memory(&made.bytes).unwrap().to_rgb8());
            assert_eq!(direct.dimensions(), converted.dimensions());
            let differences = direct.iter().zip(converted.iter()).map(|(&one, &other)| u64::from(one.abs_diff(other)));
            let mean = differences.sum::<u64>() as f64 / direct.len() as f64;
            assert!(mean < 2.5, "EXIF orientation {value}, {width}x{height}: {mean}");
        }
    }
}

/// An image that compresses badly.
fn noisy(width: u32, height: u32) -> DynamicImage {
    let noise =
        |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 24;
    RgbImage::from_fn(width, height, |x, y| Rgb([x, x + y, y].map(|at| (at / 8 + noise(x, y) / 2) as u8))).into()
}

#[test]
fn a_streamed_file_gives_the_same_thumbnails_as_its_bytes() {
    let image = noisy(1000, 700);
    let large = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp].map(|format| encoded(&image, format));
    assert!(large.iter().all(|bytes| bytes.len() > 300 << 10));
    let fixtures = expected().into_iter().map(|(name, ..)| fixture(&name));
    let small = Spec { width: 20, height: 20, ..Spec::default() };
    let specs = [Spec { fine: true, ..small }, Spec { width: 200, ..small }];
    for bytes in fixtures.chain(large) {
        let of_file = variants_of_file(Cursor::new(&bytes), &specs, &LIMITS).unwrap();
        assert!(of_file == variants(&bytes, &specs, &LIMITS).unwrap());
    }
}

#[test]
fn a_read_error_is_not_reported_as_a_damaged_image() {
    struct Failing<'a>(Cursor<&'a [u8]>);
    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.position() {
                ..100_000 => self.0.read(buffer),
                _ => Err(io::Error::from_raw_os_error(5)),
            }
        }
    }
    impl Seek for Failing<'_> {
        fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp] {
        let bytes = encoded(&noisy(800, 600), format);
        let made = variants_of_file(Failing(Cursor::new(&bytes)), &[Spec::default()], &LIMITS);
        assert!(matches!(made, Err(Error::Read { .. })), "{made:?}");
    }
}
