//! Metadata counts if it is announced. The expected results are those of Chromium 147 and sharp 0.35.

use image::ExtendedColorType;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;

use super::super::test_support::exif;
use super::metadata;

const ICC: u8 = 0x20;
const EXIF: u8 = 0x08;
const ANIMATION: u8 = 0x02;

fn chunk(name: &[u8], data: &[u8]) -> Vec<u8> {
    let padding = &[0][..data.len() % 2];
    [name, &(data.len() as u32).to_le_bytes(), data, padding].concat()
}

/// A file of a still image, with a profile before it and an EXIF block behind it.
fn file(flags: u8, exif: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    WebPEncoder::new_lossless(&mut plain).encode(&[90; 12], 2, 2, ExtendedColorType::Rgb8).unwrap();
    let vp8x = chunk(b"VP8X", &[flags, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
    let chunks = [vp8x, chunk(b"ICCP", b"profile"), plain[12..].to_vec(), chunk(b"EXIF", exif)].concat();
    [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunks].concat()
}

fn read(bytes: &[u8]) -> (Option<&[u8]>, Orientation) {
    (metadata::profile(bytes), metadata::orientation(bytes))
}

#[test]
fn metadata_counts_only_if_its_flag_is_set() {
    let rotated = exif(6);
    let (profile, upright) = (Some(&b"profile"[..]), Orientation::NoTransforms);
    assert_eq!(read(&file(ICC | EXIF, &rotated)), (profile, Orientation::Rotate90));
    assert_eq!(read(&file(ICC, &rotated)), (profile, upright));
    assert_eq!(read(&file(EXIF, &rotated)), (None, Orientation::Rotate90));
    assert_eq!(read(&file(0, &rotated)), (None, upright));
    assert_eq!(read(&file(ICC | EXIF | ANIMATION, &rotated)), (None, upright));
}

#[test]
fn metadata_without_a_header_that_announces_it_or_behind_the_end_does_not_count() {
    let rotated = exif(6);
    let whole = file(ICC | EXIF, &rotated);
    let without = [&whole[..12], &whole[30..]].concat();
    assert_eq!(read(&without), (None, Orientation::NoTransforms));
    let mut short = whole.clone();
    let length = (whole.len() - 8 - chunk(b"EXIF", &rotated).len()) as u32;
    short[4..8].copy_from_slice(&length.to_le_bytes());
    assert_eq!(read(&short), (Some(&b"profile"[..]), Orientation::NoTransforms));
}

#[test]
fn the_prefix_of_jpeg_is_accepted_in_an_exif_chunk() {
    let prefixed = [b"Exif\0\0", &exif(6)[..]].concat();
    assert_eq!(read(&file(EXIF, &prefixed)).1, Orientation::Rotate90);
}
