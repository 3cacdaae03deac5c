//! BMP: every header, coding and depth.

use std::io::Cursor;

use super::super::image_adapter::layout;
use super::super::test_support::{by_image, fixtures, rows};
use super::drawing::Drawing;
use crate::error::Error;
use crate::raster::Model;
use crate::{Limits, open::open, probe};

const LIMITS: Limits = Limits { max_pixels: 1_000_000 };
const RGBA: [u32; 4] = [0xff_0000, 0xff00, 0xff, 0xff00_0000];

/// The rows, which the probe must agree with.
fn shown(file: &[u8]) -> (Model, Vec<u8>) {
    let (samples, plane, header) = rows(file, 1.0);
    let probed = probe(Cursor::new(file), &LIMITS).unwrap();
    assert_eq!((plane.width, plane.height), (probed.width as usize, probed.height as usize));
    (header.model, samples)
}

fn refusal(drawing: &Drawing) -> Error {
    probe(Cursor::new(drawing.file()), &LIMITS).unwrap_err()
}

fn truncated(file: &[u8]) -> bool {
    probe(Cursor::new(file), &LIMITS).unwrap();
    matches!(open(file, &LIMITS), Err(Error::Truncated))
}

#[test]
fn bmp_rows_match_a_full_decode() {
    let mut files = fixtures("bmp", &[]);
    for height in [70, -70, 1] {
        for bits in [1, 2, 4, 8, 16, 24, 32] {
            files.push((format!("{bits} bits, {height} rows"), Drawing::new(40, bits, 331, height).file()));
        }
        for (name, length, bits, masks) in [
            ("RGB565", 40, 16, &[0xf800, 0x07e0, 0x001f][..]),
            ("BGR233", 52, 16, &[0x0007, 0x0038, 0x00c0]),
            ("RGBA4444", 56, 16, &[0x0f00, 0x00f0, 0x000f, 0xf000]),
            ("RGBA", 108, 32, &RGBA),
            ("RGB without padding", 40, 32, &[0xffc0_0000, 0x003f_f800, 0x0000_07ff]),
        ] {
            let drawing = Drawing::new(length, bits, 331, height).with_masks(3, masks);
            files.push((format!("{name}, {height} rows"), drawing.file()));
        }
    }
    for (name, bytes) in files {
        let (samples, plane, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!((plane.width, plane.height), (whole.width() as usize, whole.height() as usize), "{name}");
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        assert!(samples == whole.as_bytes(), "{name}");
    }
}

#[test]
fn headers_of_every_length_show_the_same() {
    for bits in [1, 4, 8, 24] {
        let expected = shown(&Drawing::new(40, bits, 33, 7).file());
        for length in (12..=64).filter(|length| length % 4 == 0).chain([42, 46, 108, 124]) {
            let drawing = Drawing::new(length, bits, 33, 7);
            assert!(shown(&drawing.file()) == expected, "{length} bytes, {bits} bits");
            assert!(shown(&drawing.at(0, Some(0))) == expected, "{length} bytes, {bits} bits, no offset");
            let array = [&b"BA\0\0\0\0\0\0\0\0\0\0\0\0"[..], &drawing.at(14, None), b"BA"].concat();
            assert!(shown(&array) == expected, "{length} bytes, {bits} bits, in an array");
        }
    }
    for length in [13, 18, 63, 65, 104, 128] {
        let error = refusal(&Drawing::new(length, 24, 3, 3));
        assert!(matches!(error, Error::UnsupportedVariant { name, .. } if name.contains("length")), "{length}");
    }
}

#[test]
fn alpha_that_is_0_in_all_pixels_is_not_used() {
    let masks16 = [0x7c00, 0x03e0, 0x001f, 0x8000];
    for (length, bits, compression, masks) in [
        (56, 32, 3, RGBA),
        (108, 32, 3, RGBA),
        (124, 32, 3, RGBA),
        (124, 32, 0, RGBA),
        (40, 32, 6, RGBA),
        (56, 16, 3, masks16),
        (124, 16, 3, masks16),
        (124, 16, 0, masks16),
        (40, 16, 6, masks16),
    ] {
        let mut drawing = Drawing::new(length, bits, 5, 4).with_masks(compression, &masks);
        let alpha_byte = usize::from(bits) / 8 - 1;
        let bytes = drawing.pixels.iter_mut().skip(alpha_byte).step_by(alpha_byte + 1);
        bytes.for_each(|byte| *byte &= if bits == 32 { 0 } else { 0x7f });
        let (model, opaque) = shown(&drawing.file());
        assert_eq!(model, Model::Rgb, "{length} bytes, {bits} bits, compression {compression}");
        let plain = Drawing { length: 40, compression: 0, masks: Vec::new(), ..drawing.clone() };
        assert!(opaque == shown(&plain.file()).1, "{length} bytes, {bits} bits, compression {compression}");
        // The last stored pixel, which is at the top right.
        let last = if bits == 16 { drawing.pixels.len() - 3 } else { drawing.pixels.len() - 1 };
        drawing.pixels[last] |= 0x80;
        let (model, samples) = shown(&drawing.file());
        assert_eq!(model, Model::Rgba);
        let alpha: Vec<bool> = samples.as_chunks::<4>().0.iter().map(|pixel| pixel[3] != 0).collect();
        assert!(alpha.iter().enumerate().all(|(pixel, &visible)| visible == (pixel == 4)));
    }
    assert_eq!(shown(&Drawing::new(40, 32, 5, 4).file()).0, Model::Rgb, "without a mask");
    for (bits, alpha) in [(32, 0xffff_0000), (32, 0xf00f_0000), (16, 0xff00_0000), (8, 0xf00f_000f), (24, 0xff00_0000)]
    {
        let unusable = Drawing::new(124, bits, 5, 4).with_masks(0, &[0, 0, 0, alpha]);
        assert_eq!(shown(&unusable.file()).0, Model::Rgb, "{bits} bits, {alpha:x}");
    }
}

#[test]
fn pixels_without_an_offset_follow_the_tables() {
    for drawing in [
        Drawing::new(40, 16, 9, 4).with_masks(3, &[0xf800, 0x07e0, 0x001f]),
        Drawing::new(40, 32, 9, 4).with_masks(6, &RGBA),
        Drawing::new(124, 32, 9, 4).with_masks(3, &RGBA),
        Drawing { colours_used: 16, ..Drawing::new(40, 4, 9, 4) },
        Drawing::runs(8, 3, 1, &[3, 5, 0, 1]),
    ] {
        let expected = shown(&drawing.file());
        for offset in [0, 14, 20] {
            assert!(shown(&drawing.at(0, Some(offset))) == expected, "{} bits, offset {offset}", drawing.bits);
        }
    }
}

#[test]
fn palettes_of_any_length_are_read() {
    let drawing = Drawing::new(40, 4, 9, 4);
    let expected = shown(&drawing.file());
    let padding = std::iter::repeat_n([1, 2, 3, 0], 300);
    for colours_used in [300, 0x1234_5678] {
        let palette = drawing.palette.iter().copied().chain(padding.clone()).collect();
        let longer = Drawing { palette, colours_used, ..drawing.clone() };
        assert!(shown(&longer.file()) == expected, "{colours_used} colours");
    }
    assert!(shown(&drawing.at(0, Some(54))) == expected, "the offset of the palette");
    let shorter = Drawing { palette: drawing.palette[..3].to_vec(), ..drawing.clone() };
    let black = |index: usize| if index < 3 { drawing.palette[index] } else { [0; 4] };
    let filled = Drawing { palette: (0..16).map(black).collect(), ..drawing.clone() };
    let expected = shown(&filled.file());
    assert!(shown(&shorter.file()) == expected);
    assert!(shown(&Drawing { colours_used: 3, ..shorter }.file()) == expected);
}

#[test]
fn fields_of_every_width_reach_from_0_to_255() {
    for bits in 1..=16 {
        let mask = (1_u32 << bits) - 1;
        let pixels = [0, mask, 0, mask].map(|value| (value << 9).to_le_bytes()).concat();
        let drawing = Drawing { pixels, ..Drawing::new(52, 32, 4, 1).with_masks(3, &[mask << 9, 0, 0]) };
        assert_eq!(shown(&drawing.file()).1, [0, 0, 0, 255, 0, 0, 0, 0, 0, 255, 0, 0], "{bits} bits");
    }
    let outside = Drawing::new(40, 16, 4, 2).with_masks(3, &[0xf800_0000, 0x07e0, 0x001f]);
    assert!(shown(&outside.file()).1.as_chunks::<3>().0.iter().all(|pixel| pixel[0] == 0));
}

/// RGB of the palette of [`Drawing::runs`]; `.` is a gap.
fn expected(rows: &str) -> (Model, Vec<u8>) {
    let gaps = rows.contains('.');
    let pixels = rows.chars().filter_map(|pixel| match pixel.to_digit(16) {
        Some(index) => Some([index * 7 + 100, index * 5 + 1, index * 3 + 2, 255].map(|value| value as u8)),
        None => (pixel == '.').then_some([0; 4]),
    });
    match gaps {
        true => (Model::Rgba, pixels.flatten().collect()),
        false => (Model::Rgb, pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()),
    }
}

#[test]
fn run_lengths_are_decoded() {
    for (name, bits, data, rows) in [
        ("runs", 8, &[3, 1, 2, 2, 0, 0, 5, 3, 0, 1][..], "33333 11122"),
        ("literals", 8, &[0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 1, 6, 4, 7, 0, 1], "67777 12345"),
        ("runs of two colours", 4, &[5, 0x12, 0, 0, 4, 0x34, 1, 0x50, 0, 1], "34345 12121"),
        ("literals of half bytes", 4, &[0, 5, 0x12, 0x34, 0x50, 0, 0, 0, 5, 0x66, 0, 1], "66666 12345"),
        ("runs beyond the row", 8, &[9, 1, 7, 2, 0, 0, 5, 3, 0, 1], "33333 11111"),
        ("literals beyond the row", 8, &[0, 7, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0, 5, 3, 0, 1], "33333 12345"),
        ("rows beyond the image", 8, &[5, 1, 0, 0, 5, 2, 0, 0, 5, 3, 0, 0, 0, 1], "22222 11111"),
        ("no end of the row", 8, &[5, 1, 0, 0, 5, 3, 0, 1], "33333 11111"),
        ("no end of the image", 8, &[5, 1, 0, 0, 5, 3], "33333 11111"),
        ("an early end of a row", 8, &[2, 1, 0, 0, 5, 3, 0, 1], "33333 11..."),
        ("an early end of the image", 8, &[2, 1, 0, 1], "..... 11..."),
        ("skipped columns", 8, &[1, 1, 0, 2, 3, 0, 1, 2, 0, 0, 5, 3, 0, 1], "33333 1...2"),
        ("skipped rows", 8, &[2, 1, 0, 2, 1, 1, 2, 2, 0, 1], "...22 11..."),
        ("skips beyond the edges", 8, &[2, 1, 0, 2, 90, 0, 2, 2, 0, 2, 0, 90, 3, 3, 0, 1], "..... 11..."),
        ("nothing", 8, &[0, 1], "..... ....."),
    ] {
        assert_eq!(shown(&Drawing::runs(bits, 5, 2, data).file()), expected(rows), "{name}");
        let swapped: Vec<&str> = rows.split(' ').rev().collect();
        let top_down = Drawing::runs(bits, 5, -2, data);
        assert_eq!(shown(&top_down.file()), expected(&swapped.concat()), "{name}, top-down");
        if !name.contains("beyond") {
            assert!(truncated(&top_down.file()[..top_down.file().len() - 4]), "{name}, without the last row");
        }
    }
    let colours = |bytes: &[u8]| shown(&Drawing::runs(24, 3, 2, bytes).file());
    let data = [3, 30, 20, 10, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 1];
    assert_eq!(colours(&data), (Model::Rgb, vec![3, 2, 1, 6, 5, 4, 9, 8, 7, 10, 20, 30, 10, 20, 30, 10, 20, 30]));
    assert_eq!(shown(&Drawing { bits: 1, ..Drawing::runs(8, 5, 1, &[5, 1, 0, 1]) }.file()), expected("11111"));
}

#[test]
fn only_the_padding_of_the_last_row_may_be_missing() {
    for bits in [1, 2, 4, 8, 16, 24, 32] {
        for height in [5, -5] {
            let drawing = Drawing::new(40, bits, 33, height);
            let file = drawing.file();
            let padding = drawing.pixels.len() / 5 - (33 * usize::from(bits)).div_ceil(8);
            assert!(shown(&file[..file.len() - padding]) == shown(&file), "{bits} bits");
            assert!(truncated(&file[..file.len() - padding - 1]), "{bits} bits");
        }
    }
    assert!(truncated(&Drawing::new(40, 24, 3, 3).at(0, Some(5000))));
}

#[test]
fn an_embedded_file_is_opened_in_place_of_pixels() {
    let image = image::RgbImage::from_fn(16, 8, |x, y| image::Rgb([x as u8 * 9, y as u8 * 20, 77]));
    for (compression, format) in [(4, image::ImageFormat::Jpeg), (5, image::ImageFormat::Png)] {
        let mut pixels = Cursor::new(Vec::new());
        image.write_to(&mut pixels, format).unwrap();
        let pixels = pixels.into_inner();
        let drawing = Drawing { compression, pixels: pixels.clone(), ..Drawing::new(40, 0, 16, 8) };
        let drawing = Drawing { palette: Vec::new(), ..drawing };
        let spec = [crate::Spec::default()];
        let thumbnail = |file: &[u8]| crate::variants(file, &spec, &LIMITS);
        assert_eq!(thumbnail(&drawing.file()).unwrap(), thumbnail(&pixels).unwrap());
        assert_eq!(
            crate::variants_of_file(Cursor::new(drawing.file()), &spec, &LIMITS).unwrap(),
            thumbnail(&pixels).unwrap()
        );
        assert!(thumbnail(&Drawing { width: 17, ..drawing.clone() }.file()).is_err());
        let file = drawing.file();
        assert!(matches!(thumbnail(&file[..file.len() - 30]), Err(Error::Truncated)));
    }
}

#[test]
fn the_profile_of_the_newest_header_is_used() {
    let drawing = Drawing::new(124, 24, 4, 4);
    let mut file = drawing.file();
    let start = 124 + drawing.pixels.len() as u32;
    file[14 + 56..14 + 60].copy_from_slice(b"DEBM");
    file[14 + 112..14 + 116].copy_from_slice(&start.to_le_bytes());
    file[14 + 116..14 + 120].copy_from_slice(&7_u32.to_le_bytes());
    for missing in 1..=7 {
        assert!(truncated(&[&file, &b"profile"[missing..]].concat()), "{missing} bytes of the profile are missing");
    }
    file.extend(b"profile");
    assert_eq!(rows(&file, 1.0).2.icc.as_deref(), Some(&b"profile"[..]));
    file[14 + 56..14 + 60].copy_from_slice(b"KNIL");
    assert_eq!(rows(&file, 1.0).2.icc, None, "a linked profile");
}

#[test]
fn unsupported_variants_are_named_by_the_upload() {
    let drawing = |bits, compression| Drawing { compression, ..Drawing::new(40, bits, 3, 3) };
    for (drawing, part) in [
        (drawing(1, 3), "Huffman"),
        (drawing(32, 11), "CMYK"),
        (drawing(8, 12), "CMYK"),
        (drawing(64, 0), "64 bits"),
        (drawing(24, 3), "bit masks"),
        (drawing(24, 7), "compression"),
        (Drawing::new(40, 32, 3, 3).with_masks(3, &[0xff00_00ff, 0xff00, 0]), "gaps"),
        (Drawing::new(12, 16, 3, 3), "OS/2"),
    ] {
        assert!(matches!(refusal(&drawing), Error::UnsupportedVariant { name, .. } if name.contains(part)), "{part}");
    }
    for (bits, compression) in [(0, 0), (3, 0), (30_000, 0), (24, 1), (8, 2)] {
        assert!(matches!(refusal(&drawing(bits, compression)), Error::BadHeader(_)), "{bits} bits");
    }
    assert!(matches!(refusal(&Drawing::new(40, 24, -3, 3)), Error::BadHeader(_)));
    assert!(matches!(refusal(&Drawing { height: i32::MIN, ..Drawing::new(40, 24, 3, 3) }), Error::TooWide { .. }));
    let planes = [&Drawing::new(40, 24, 3, 3).file()[..26], &[9], &Drawing::new(40, 24, 3, 3).file()[27..]].concat();
    assert!(shown(&planes) == shown(&Drawing::new(40, 24, 3, 3).file()), "the number of planes is not used");
}
