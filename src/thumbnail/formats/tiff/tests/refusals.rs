//! Variants that are refused at the upload, and files that attempt to exhaust memory or time.

use std::io::Cursor;

use super::LIMITS;
use super::file::File;
use crate::{Error, probe, thumbnail};

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
        (File { compression: 5, predictor: 2, ..file(6, 3) }, "TIFF with subsampled chroma and a predictor"),
        (File { tags: vec![(339, 3, vec![3; 3])], bits: 16, ..file(8, 3) }, "TIFF in Lab of this depth"),
        (File { tags: vec![(339, 3, vec![3; 3])], bits: 16, ..file(9, 3) }, "TIFF in Lab of this depth"),
        (File { planar: true, ..file(6, 3) }, "TIFF with subsampled chroma in planes or with extra channels"),
    ];
    for (file, name) in cases {
        let chunks = vec![vec![0; 8 * 8 * 64]; if file.planar { file.channels } else { 1 }];
        let error = probe(Cursor::new(file.with_chunks(&chunks)), &LIMITS).unwrap_err();
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
        let error = probe(Cursor::new(bytes), &LIMITS).unwrap_err();
        assert!(matches!(error, Error::UnsupportedVariant { name, .. } if name.contains("12-bit")), "{error:?}");
    }
}

fn bad_header(bytes: &[u8]) -> bool {
    matches!(probe(Cursor::new(bytes), &LIMITS), Err(Error::BadHeader(_)))
}

#[test]
fn tags_of_other_types_than_integers_are_bad_headers() {
    for tag in [256, 258, 259, 262, 277, 284, 317, 266, 274, 338, 339, 322] {
        for kind in [2, 5, 7, 11, 99] {
            let file = File { compression: 8, tags: vec![(tag, kind, vec![1, 1])], ..File::new(8, 8, 1, 1) };
            assert!(bad_header(&file.bytes()), "tag {tag} of type {kind}");
        }
        let negative = File { tags: vec![(tag, 8, vec![0xffff])], ..File::new(8, 8, 1, 1) };
        assert!(bad_header(&negative.bytes()), "tag {tag}");
    }
    for tag in [273, 279] {
        let file = File { tags: vec![(tag, 11, vec![1])], ..File::new(8, 8, 1, 1) };
        let error = thumbnail(&file.bytes(), &LIMITS).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "tag {tag}: {error:?}");
    }
}

#[test]
fn strips_and_tiles_without_bounds_are_refused_at_the_upload() {
    let file = |size: (usize, usize), chunk, tiled| {
        let file = File { width: size.0, height: size.1, tiled, chunk, ..File::new(1, 1, 1, 1) };
        file.with_chunks(&[vec![0; 256]])
    };
    assert!(bad_header(&file((300, 300), (1, 1), true)), "90,000 tiles");
    assert!(bad_header(&file((1, 1), (16, 65_535), true)), "a tile far higher than the page");
    assert!(bad_header(&file((1, 1), (65_535, 16), true)), "a tile far wider than the page");
    assert!(!bad_header(&file((10, 65_000), (10, 1), false)), "a strip for each row");
    let jpegs = File { compression: 7, width: 10, height: 65_000, chunk: (10, 1), ..File::new(1, 1, 1, 1) };
    assert!(bad_header(&jpegs.with_chunks(&[vec![0; 256]])), "65,000 images");
    assert!(!bad_header(&file((1000, 1000), (16, 16), true)));
}

#[test]
fn channels_that_are_not_used_count_against_the_memory_limit() {
    let file = File { width: 1000, height: 1000, bits: 32, channels: 1024, ..File::new(1, 1, 1, 1) };
    let bytes = File { compression: 5, samples: Vec::new(), ..file }.with_chunks(&[vec![0; 256]]);
    let error = thumbnail(&bytes, &LIMITS).unwrap_err();
    assert!(matches!(error, Error::TooMuchMemory), "{error:?}");
}

#[test]
fn lists_of_strips_can_be_longer_than_needed_and_not_shorter() {
    for (extra, complete) in [(0, true), (5, true), (-1, false)] {
        let file = File { chunk: (8, 1), ..File::new(8, 8, 1, 1) };
        let count = (8 + extra) as usize;
        let tags = vec![(273, 1, (0..count as u32).map(|row| 8 + 8 * row).collect()), (279, 1, vec![8; count])];
        let file = File { tags, ..file };
        assert_eq!(thumbnail(&file.bytes(), &LIMITS).is_ok(), complete, "{count} strips");
    }
}

#[test]
fn strips_that_all_span_the_whole_file_are_rejected() {
    let file = File { compression: 32773, chunk: (20, 1), ..File::new(20, 120, 1, 1) };
    let plain = file.bytes();
    let length = plain.len() as u32;
    let tags = vec![(273, 4, vec![0; 120]), (279, 4, vec![length; 120])];
    let error = thumbnail(&File { tags, ..file }.bytes(), &LIMITS).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
}
