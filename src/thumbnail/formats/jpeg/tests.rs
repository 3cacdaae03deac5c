//! Whole files: comparison with another decoder, and rejection of invalid files.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use zune_jpeg::JpegDecoder as ReferenceDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::super::codec::RowDecoder;
use super::decoder::JpegDecoder;
use crate::error::Error;
use crate::limits::Limits;
use crate::raster::{Area, Goal, Plane, Sink};

/// Bounds the size of fixtures with a modified header.
pub(super) const LIMITS: Limits = Limits { max_pixels: 1_000_000 };

/// Collects the rows of all planes.
#[derive(Default)]
pub(super) struct Planes(pub(super) Vec<Vec<Vec<u8>>>);

impl Sink for Planes {
    fn row(&mut self, plane: usize, bytes: &[u8]) {
        if self.0.len() <= plane {
            self.0.resize_with(plane + 1, Vec::new);
        }
        self.0[plane].push(bytes.to_vec());
    }
}

pub(super) fn decoded(bytes: &[u8], step: f64, limits: &Limits) -> Result<(Vec<Plane>, Planes), Error> {
    decoded_by(JpegDecoder::open(bytes, limits)?, step)
}

pub(super) fn decoded_by(mut jpeg: JpegDecoder, step: f64) -> Result<(Vec<Plane>, Planes), Error> {
    let planes = jpeg.shrink(Goal { step, chroma: step });
    let all = |plane: &Plane| Area { columns: 0..plane.width, rows: 0..plane.height };
    let mut sink = Planes::default();
    jpeg.decode(&planes.iter().map(all).collect::<Vec<Area>>(), &mut sink)?;
    Ok((planes, sink))
}

#[test]
fn a_progressive_image_over_the_memory_limit_is_rejected_at_full_size_only() {
    let frame =
        [b"\xff\xd8\xff\xc2\0\x14\x08\x27\x10\x27\x10\x04", &b"\x01\x11\0\x02\x11\0\x03\x11\0\x04\x11\0"[..]].concat();
    let bytes = [&frame[..], b"\xff\xda\0\x0e\x04\x01\0\x02\0\x03\0\x04\0\0\0\0\xff\xd9"].concat();
    let small = Limits { max_pixels: 10_000_000 };
    assert!(matches!(decoded(&bytes, 1.0, &small), Err(Error::TooMuchMemory)));
    assert!(matches!(decoded(&bytes, 8.0, &small), Err(Error::Truncated)));
}

#[test]
fn the_masks_of_a_scan_that_is_decoded_only_for_its_end_count_as_memory() {
    let frame =
        [b"\xff\xd8\xff\xc2\0\x14\x08\x32\xc8\x32\xc8\x04", &b"\x01\x11\0\x02\x11\0\x03\x11\0\x04\x11\0"[..]].concat();
    let dc = b"\xff\xda\0\x0e\x04\x01\0\x02\0\x03\0\x04\0\0\0\0";
    let ac = (1..=4).flat_map(|id| [0xff, 0xda, 0, 8, 1, id, 0, 1, 63, 0]).collect::<Vec<u8>>();
    // 32 MiB. At 1/8, the coefficients take 21 MB, and the masks of a component as much.
    let limits = Limits { max_pixels: 0 };
    let with = |end: &[u8]| decoded(&[&frame[..], dc, &ac, end].concat(), 8.0, &limits);
    assert!(matches!(with(b"\xff\xd9"), Err(Error::Truncated)));
    assert!(matches!(with(b""), Err(Error::TooMuchMemory)));
}

/// The components of the file, interleaved and upsampled, from another decoder.
fn reference(bytes: &[u8]) -> Vec<u8> {
    let mut decoder = ReferenceDecoder::new(ZCursor::new(bytes));
    decoder.decode_headers().unwrap();
    let stored = decoder.input_colorspace().unwrap();
    decoder.set_options(DecoderOptions::default().jpeg_set_out_colorspace(stored));
    decoder.decode().unwrap()
}

/// Bilinear interpolation of a plane at the centre of a pixel.
fn interpolated(rows: &[Vec<u8>], plane: &Plane, x: usize, y: usize) -> f64 {
    let place = |at: usize, step: f64, samples: usize| {
        let place = ((at as f64 + 0.5) / step - 0.5).clamp(0.0, samples as f64 - 1.0);
        (place as usize, (place as usize + 1).min(samples - 1), place.fract())
    };
    let (left, right, x_weight) = place(x, plane.x_step, plane.width);
    let (top, bottom, y_weight) = place(y, plane.y_step, plane.height);
    let row = |row: usize| f64::from(rows[row][left]) * (1.0 - x_weight) + f64::from(rows[row][right]) * x_weight;
    row(top) * (1.0 - y_weight) + row(bottom) * y_weight
}

/// The decodable files of `tests/fixtures/jpeg/`, with their names.
pub(super) fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/jpeg");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()));
    named.filter(|(name, _)| name != "arithmetic").collect()
}

pub(super) fn fixture(name: &str) -> Vec<u8> {
    let found = fixtures().into_iter().find(|(found, _)| found == name);
    found.unwrap().1
}

/// Offset of a marker.
pub(super) fn find(bytes: &[u8], marker: u8) -> usize {
    bytes.windows(2).position(|window| window == [0xff, marker]).unwrap()
}

/// The file without the segments of a marker.
fn without(bytes: &[u8], marker: u8) -> Vec<u8> {
    let (mut rest, mut kept) = (&bytes[2..], bytes[..2].to_vec());
    while rest[1] != 0xda {
        let (segment, after) = rest.split_at(2 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
        if segment[1] != marker {
            kept.extend(segment);
        }
        rest = after;
    }
    [&kept[..], rest].concat()
}

pub(super) fn rows(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    decoded(bytes, 1.0, &LIMITS).unwrap().1.0
}

#[test]
fn full_size_samples_match_another_decoder() {
    for (name, bytes) in fixtures() {
        // The reference decoder does not support a factor of 3, swaps rows of non-interleaved scans and of subsampled
        // luma, and does not interpolate over four pixels.
        if ["3x1", "2x2-one-by-one", "2x2-two-scans", "luma-subsampled"].contains(&name.as_str()) {
            continue;
        }
        let (planes, rows) = decoded(&bytes, 1.0, &LIMITS).unwrap();
        let reference = reference(&bytes);
        let smooth = |plane: &&(usize, &Plane)| plane.1.x_step <= 2.0 && plane.1.y_step <= 2.0;
        for (index, plane) in planes.iter().enumerate().filter(|plane| smooth(&plane)) {
            for (x, y) in (0..61).flat_map(|y| (0..83).map(move |x| (x, y))) {
                let is = interpolated(&rows.0[index], plane, x, y);
                let other = reference[(y * 83 + x) * planes.len() + index];
                assert!((is - f64::from(other)).abs() <= 2.0, "{name}: {is} and {other} at {x}, {y} of {index}");
            }
        }
    }
}

#[test]
fn the_scan_order_does_not_change_the_samples() {
    for sampling in ["1x1", "2x2"] {
        let plain = rows(&fixture(sampling));
        for (name, bytes) in fixtures().iter().filter(|(name, _)| name.starts_with(sampling)) {
            for step in [1.0, 2.0, 4.0, 8.0] {
                let plain = decoded(&fixture(sampling), step, &LIMITS).unwrap().1.0;
                assert!(decoded(bytes, step, &LIMITS).unwrap().1.0 == plain, "{name} at {step}");
            }
        }
        assert_eq!(plain[0].len(), 61);
    }
    assert!(rows(&fixture("grey")) == rows(&fixture("grey-progressive")));
    assert!(rows(&fixture("grey"))[0] == rows(&fixture("2x2"))[0]);
}

#[test]
fn shrunk_samples_are_the_mean_of_the_full_size_samples() {
    for (name, bytes) in fixtures() {
        let (full, full_rows) = decoded(&bytes, 1.0, &LIMITS).unwrap();
        for step in [2.0, 4.0, 8.0] {
            let (planes, rows) = decoded(&bytes, step, &LIMITS).unwrap();
            for (index, plane) in planes.iter().enumerate() {
                let shrink = (plane.x_step / full[index].x_step) as usize;
                let (mut squares, mut count) = (0.0, 0);
                // The last samples may extend beyond the image.
                for (x, y) in (0..plane.height - 1).flat_map(|y| (0..plane.width - 1).map(move |x| (x, y))) {
                    let places = (0..shrink * shrink).map(|at| (x * shrink + at % shrink, y * shrink + at / shrink));
                    let sum: f64 = places.map(|(x, y)| f64::from(full_rows.0[index][y][x])).sum();
                    squares += (sum / (shrink * shrink) as f64 - f64::from(rows.0[index][y][x])).powi(2);
                    count += 1;
                }
                let psnr = 10.0 * (255.0 * 255.0 / (squares / f64::from(count.max(1)) + 1e-9)).log10();
                assert!(psnr > 36.0, "{name} {index} at {step}: {psnr:.1}");
            }
        }
    }
}

#[test]
fn components_with_equal_ids_follow_one_another() {
    let plain = fixture("1x1");
    let (frame, scan) = (find(&plain, 0xc0), find(&plain, 0xda));
    let mut equal = plain.clone();
    (0..3).for_each(|at| equal[frame + 10 + 3 * at] = 7);
    (0..3).for_each(|at| equal[scan + 5 + 2 * at] = 7);
    assert!(rows(&equal) == rows(&plain));
}

#[test]
fn segments_without_effect_are_skipped() {
    let plain = fixture("2x2");
    for segment in [&b"\xff\xcc\0\x04\0\x10"[..], b"\xff\xe5\0\x01", b"\xff\x02", b"\xff\xd3"] {
        let with = [&plain[..2], segment, &plain[2..]].concat();
        assert!(rows(&with) == rows(&plain), "{segment:x?}");
    }
}

#[test]
fn default_tables_wide_quantisers_and_fill_bytes_are_supported() {
    let plain = fixture("2x2");
    let expected = rows(&plain);
    assert!(rows(&without(&plain, 0xc4)) == expected, "default Huffman tables");
    let start = find(&plain, 0xdb);
    let wide = plain[start + 5..start + 69].iter().flat_map(|&quantiser| [0, quantiser]);
    let wide = [&[0xff, 0xdb, 0, 131, 0x10][..], &wide.collect::<Vec<u8>>(), &plain[start + 69..]].concat();
    assert!(rows(&[&plain[..start], &wide].concat()) == expected, "quantisers of 16 bits");
    let filled =
        [&plain[..start], &[0xff; 5], &plain[start..plain.len() - 2], &[0xff; 3], b"\xff\xd9 and more"].concat();
    assert!(rows(&filled) == expected, "fill bytes, and bytes after EOI");
}

#[test]
fn arithmetic_coding_and_12_bit_samples_are_unsupported() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/jpeg");
    let arithmetic = fs::read(folder.join("arithmetic.jpg")).unwrap();
    assert!(matches!(decoded(&arithmetic, 1.0, &LIMITS), Err(Error::UnsupportedVariant { .. })));
    let mut deep = fixture("grey");
    let frame = find(&deep, 0xc0);
    deep[frame + 4] = 12;
    assert!(matches!(decoded(&deep, 1.0, &LIMITS), Err(Error::UnsupportedVariant { .. })));
}

#[test]
fn a_second_frame_is_damage_and_not_an_unsupported_variant() {
    let plain = fixture("grey");
    let scan = find(&plain, 0xda);
    for marker in [0xc0, 0xc3, 0xc9, 0xde] {
        let two = [&plain[..scan], &[0xff, marker, 0, 2], &plain[scan..]].concat();
        assert!(matches!(decoded(&two, 1.0, &LIMITS), Err(Error::Corrupt { .. })), "{marker:x}");
    }
}

#[test]
fn too_many_scans_are_rejected() {
    let plain = fixture("grey-progressive");
    let scan = &plain[find(&plain, 0xda)..plain.len() - 2];
    let many = [&plain[..plain.len() - 2], &scan.repeat(100), &[0xff, 0xd9]].concat();
    assert!(matches!(decoded(&many, 8.0, &LIMITS), Err(Error::Corrupt { .. })));
    let sequential = fixture("2x2-one-by-one");
    let first = find(&sequential, 0xda);
    let second = first + 2 + find(&sequential[first + 2..], 0xda);
    let twice = [&sequential[..second], &sequential[first..]].concat();
    assert!(matches!(decoded(&twice, 8.0, &LIMITS), Err(Error::Corrupt { .. })));
}

#[test]
fn a_component_without_a_scan_is_rejected() {
    for name in ["2x2-one-by-one", "2x2-progressive"] {
        let plain = fixture(name);
        let second = find(&plain, 0xda) + 2;
        let next = second + find(&plain[second..], if name.ends_with("one") { 0xda } else { 0xc4 });
        let cut = [&plain[..next], &[0xff, 0xd9]].concat();
        let all = name == "2x2-progressive";
        assert_eq!(decoded(&cut, 8.0, &LIMITS).is_ok(), all, "{name}: whether the first scan has all components");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_sequential_file_has_the_same_result_at_every_size(
        file in any::<prop::sample::Index>(),
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let files = fixtures();
        let (name, plain) = file.get(&files);
        let mut bytes = plain.clone();
        for (index, value) in &at {
            *index.get_mut(&mut bytes) = *value;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        let outcome = |step| decoded(&bytes, step, &LIMITS).map(|(planes, _)| planes.len()).map_err(|error| error.to_string());
        let outcomes = [1.0, 2.0, 4.0, 8.0].map(outcome);
        let progressive = bytes.windows(2).any(|window| window == [0xff, 0xc2]);
        prop_assert!(progressive || outcomes.iter().all(|one| *one == outcomes[0]), "{name}: {outcomes:?}");
    }
}
