//! Compressions, and strips and tiles that are images of another format.

use std::path::PathBuf;

use proptest::prelude::*;

use super::super::super::test_support::rows;
use super::file::File;
use super::{LIMITS, SIZE};
use crate::open::open;
use crate::raster::{Area, Goal, Model, Plane, Sink};
use crate::{Error, thumbnail};

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
fn strips_and_tiles_of_every_compression_are_decoded() {
    let cases = [
        (1, 0, 1, &[2, 3, 4, 32771][..]),
        (8, 1, 1, &[1, 5, 7, 8, 32773, 50000]),
        (8, 2, 3, &[50001]),
        (8, 2, 4, &[50001]),
    ];
    for (bits, photometric, channels, compressions) in cases {
        for (&compression, (tiled, chunk)) in
            compressions.iter().flat_map(|one| [(false, (SIZE.0, 16)), (true, (32, 16))].map(|layout| (one, layout)))
        {
            let plain = File::new(SIZE.0, SIZE.1, channels, photometric);
            let samples: Vec<u32> =
                plain.samples.iter().map(|sample| if bits == 1 { sample / 9 % 2 } else { sample / 2 }).collect();
            let expected: Vec<u8> =
                samples.iter().map(|&sample| if bits == 1 { (1 - sample) * 255 } else { sample } as u8).collect();
            let file = File { bits, tiled, chunk, compression, samples, ..plain };
            let (is, ..) = rows(&file.bytes(), 1.0);
            let tolerance = if compression == 7 { 3 } else { 0 };
            let near = is.iter().zip(&expected).all(|(is, expected)| is.abs_diff(*expected) <= tolerance);
            assert!(near && is.len() == expected.len(), "compression {compression}, {chunk:?}");
        }
    }
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/jpeg").join(name)).unwrap()
}

/// The planes of a JPEG by the decoder of that format.
fn jpeg_planes(bytes: &[u8]) -> Vec<(Plane, Vec<u8>)> {
    struct Planes(Vec<(Plane, Vec<u8>)>);
    impl Sink for Planes {
        fn row(&mut self, plane: usize, bytes: &[u8]) {
            self.0[plane].1.extend(bytes);
        }
    }
    let mut decoder = open(bytes, &LIMITS).unwrap();
    let planes = decoder.shrink(Goal { step: 1.0, chroma: 1.0 });
    let areas: Vec<Area> = planes.iter().map(|plane| Area { columns: 0..plane.width, rows: 0..plane.height }).collect();
    let mut planes = Planes(planes.into_iter().map(|plane| (plane, Vec::new())).collect());
    decoder.decode(&areas, &mut planes).unwrap();
    planes.0
}

/// A sample of a plane at a pixel of the image, between the centres of its neighbours.
fn interpolated((plane, samples): &(Plane, Vec<u8>), x: usize, y: usize) -> f64 {
    let place = |pixel: usize, step: f64, count: usize| {
        let place = ((pixel as f64 + 0.5) / step - 0.5).clamp(0.0, (count - 1) as f64);
        [(place.floor() as usize, 1.0 - place.fract()), (place.ceil() as usize, place.fract())]
    };
    let rows = place(y, plane.y_step, plane.height);
    let columns = place(x, plane.x_step, plane.width);
    let weighted = rows.iter().flat_map(|&(row, share)| {
        columns.iter().map(move |&(column, part)| f64::from(samples[row * plane.width + column]) * share * part)
    });
    weighted.sum()
}

#[test]
fn subsampled_jpeg_in_strips_and_tiles_has_the_samples_of_the_jpeg() {
    for name in ["1x1.jpg", "2x1.jpg", "2x2.jpg", "1x2.jpg", "2x2-progressive.jpg"] {
        let jpeg = fixture(name);
        let planes = jpeg_planes(&jpeg);
        let (width, height) = (planes[0].0.width, planes[0].0.height);
        for (tiled, across, down) in [(false, 1, 2), (true, 2, 2)] {
            let page =
                File { width: width * across - 3 * usize::from(tiled), height: height * down, ..File::new(1, 1, 3, 6) };
            let file = File { tiled, chunk: (width, height), compression: 7, ..page };
            let (samples, plane, header) = rows(&file.with_chunks(&vec![jpeg.clone(); across * down]), 1.0);
            assert_eq!((header.model, plane.width), (Model::YCbCr, file.width));
            for (at, &is) in samples.iter().enumerate() {
                let (x, y) = (at / 3 % file.width % width, at / 3 / file.width % height);
                let expected = interpolated(&planes[at % 3], x, y);
                assert!(
                    (f64::from(is) - expected).abs() <= 0.51,
                    "{name}, tiled {tiled}: {is}, {expected} at {x}, {y}"
                );
            }
        }
    }
}

#[test]
fn jpeg_data_with_far_too_many_scans_is_damaged() {
    let jpeg = fixture("2x2-progressive.jpg");
    let planes = jpeg_planes(&jpeg);
    let file = File { compression: 7, ..File::new(planes[0].0.width, planes[0].0.height, 3, 6) };
    for (scans, is_ok) in [(1, true), (21, false)] {
        let bytes = [&jpeg[..], &[0xff, 0xda].repeat(scans)].concat();
        assert_eq!(thumbnail(&file.with_chunks(&[bytes]), &LIMITS).is_ok(), is_ok, "{scans} more scans");
    }
}

#[test]
fn jpeg_tables_can_lack_their_end_marker() {
    let jpeg = fixture("2x2.jpg");
    let planes = jpeg_planes(&jpeg);
    let size = (planes[0].0.width, planes[0].0.height);
    let file = |tags| File { compression: 7, tags, ..File::new(size.0, size.1, 3, 6) };
    let expected = rows(&file(vec![]).with_chunks(std::slice::from_ref(&jpeg)), 1.0).0;
    // Quantisation and Huffman tables are moved to the tables, so that the frame header follows them.
    let (mut tables, mut rest, mut at) = (vec![0xff, 0xd8], vec![0xff, 0xd8], 2);
    while jpeg[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        match jpeg[at + 1] {
            0xc4 | 0xdb => tables.extend(&jpeg[at..end]),
            0xe0..=0xef => {}
            _ => rest.extend(&jpeg[at..end]),
        }
        at = end;
    }
    rest.extend(&jpeg[at..]);
    assert!(tables.len() > 100);
    for tables in [tables.clone(), [&tables[..], &[0xff, 0xd9]].concat()] {
        let tag = (347, 7, tables.iter().map(|&byte| byte.into()).collect());
        assert!(rows(&file(vec![tag]).with_chunks(std::slice::from_ref(&rest)), 1.0).0 == expected);
    }
}

/// A frame of Zstandard (RFC 8878, 3.1.1) with the largest window, and blocks of one repeated byte.
fn zstandard(blocks: &[u32], end: bool) -> Vec<u8> {
    const WINDOW_128_MIB: u8 = 17 << 3;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, WINDOW_128_MIB];
    for (at, bytes) in blocks.iter().enumerate() {
        let is_last = u32::from(!end && at + 1 == blocks.len());
        frame.extend(&(bytes << 3 | 1 << 1 | is_last).to_le_bytes()[..3]);
        frame.push(7);
    }
    // An empty block.
    frame.extend(&[1, 0, 0][..if end { 3 } else { 0 }]);
    frame
}

#[test]
fn zstandard_with_more_data_than_its_strip_is_damaged() {
    let file = |frame: &[u8]| {
        let file = File { compression: 50000, chunk: (8, 4), ..File::new(8, 8, 1, 1) };
        file.with_chunks(&[frame.to_vec(), frame.to_vec()])
    };
    for frame in [zstandard(&[32], false), zstandard(&[32], true), zstandard(&[8; 4], true), zstandard(&[1; 32], false)]
    {
        assert!(rows(&file(&frame), 1.0).0 == [7; 64]);
    }
    let bomb = zstandard(&[128 << 10; 1000], true);
    let error = thumbnail(&file(&bomb), &LIMITS).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_files_of_any_variant_cause_no_panic(
        (compression, photometric, bits) in (0_usize..11, 0_usize..8, 0_usize..7),
        (channels, predictor, format) in (1_usize..7, 1_u32..4, 1_u32..4),
        fits in prop::bool::weighted(0.7),
        (tiled, planar, big_endian) in (any::<bool>(), any::<bool>(), any::<bool>()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let compression = [1, 2, 3, 4, 5, 7, 8, 32771, 32773, 50000, 50001][compression];
        let photometric = [0, 1, 2, 3, 5, 6, 8, 9][photometric];
        let bits = [1, 2, 4, 8, 12, 16, 32][bits];
        // Most compressions of images have few combinations.
        let (photometric, bits, channels, format) = match compression {
            2 | 3 | 4 | 32771 if fits => (photometric % 2, 1, 1, 1),
            7 if fits => if channels < 4 { (1, 8, 1, 1) } else { (6, 8, 3, 1) },
            50001 if fits => (2, 8, 3 + channels % 2, 1),
            _ => (photometric, bits, channels, format),
        };
        let file = File {
            compression,
            photometric,
            bits,
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
        if let Err(Error::Corrupt { source }) = thumbnail(&bytes, &LIMITS) {
            prop_assert!(source.to_string() != "a decoder panicked");
        }
    }
}
