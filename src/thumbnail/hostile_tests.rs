//! Truncated and damaged files, and files that attempt to exhaust memory.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use proptest::prelude::*;

use super::formats::test_support::zlib;
use super::*;

const LIMITS: Limits = Limits { max_pixels: 100_000_000 };

/// Bounds the size of the small test images with a modified header.
const SMALL: Limits = Limits { max_pixels: 1_000_000 };

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let images = paths.filter(|path| !matches!(path.extension().unwrap().to_str(), Some("csv" | "md" | "py")));
    images.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap())).collect()
}

/// Makes a thumbnail that requires full-size decoding of the fixtures, and one that allows shrinking. The result must
/// be the same from memory and from a file.
fn opened(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    let spec = |side| [Spec { width: side, height: side, ..Spec::default() }];
    let small = variants(bytes, &spec(12), limits);
    assert_eq!(outcome(&small), outcome(&variants_of_file(Cursor::new(bytes), &spec(12), limits)));
    small.and(variants(bytes, &spec(90), limits)).map(|_| ())
}

fn outcome(made: &Result<Vec<Thumbnail>, Error>) -> Result<&[Thumbnail], String> {
    made.as_deref().map_err(|error| format!("{error:?}"))
}

/// A PNG with these chunks.
pub(super) fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        file.extend((data.len() as u32).to_be_bytes());
        file.extend([&name[..], data].concat());
        file.extend(crc(&[&name[..], data].concat()).to_be_bytes());
    }
    file
}

/// The checksum of PNG chunks (PNG specification, annex D).
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

fn ihdr(width: u32, height: u32) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 6, 0, 0, 0]].concat()
}

fn jpeg_header(marker: u8, width: u16, height: u16) -> Vec<u8> {
    let frame = [&[0xff, 0xd8, 0xff, marker, 0, 11, 8][..], &height.to_be_bytes(), &width.to_be_bytes()].concat();
    [&frame[..], &[1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x55, 0xff, 0xd9]].concat()
}

fn tiff_header(width: u32, height: u32) -> Vec<u8> {
    let entry = |tag: u16, value: u32| [&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat();
    [b"II*\0\x08\0\0\0\x03\0", &entry(256, width)[..], &entry(257, height), &entry(262, 1), &[0; 4]].concat()
}

fn bmp_header(width: i32, height: i32) -> Vec<u8> {
    let sizes = [&width.to_le_bytes()[..], &height.to_le_bytes(), &[1, 0, 24, 0], &[0; 24]].concat();
    [b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", &sizes[..]].concat()
}

fn webp_header(canvas: u32) -> Vec<u8> {
    let side = &(canvas - 1).to_le_bytes()[..3];
    let image = b"VP8L\x08\0\0\0\x2f\0\0\0\0\0\0\0";
    [b"RIFF\x26\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0", side, side, image].concat()
}

fn both(bytes: &[u8]) -> Error {
    let probed = probe(Cursor::new(bytes), &LIMITS).expect_err("the header is rejected");
    let error = thumbnail(bytes, &LIMITS).expect_err("no thumbnail");
    assert_eq!(probed.to_string(), error.to_string());
    assert!(probed.shows_in_header());
    error
}

#[test]
fn a_decompression_bomb_is_rejected_by_its_header() {
    let wide = png(&[(b"IHDR", &ihdr(65_536, 1)), (b"IEND", b"")]);
    assert!(matches!(both(&wide), Error::TooWide { width: 65_536, height: 1 }));
    let large = png(&[(b"IHDR", &ihdr(50_000, 50_000)), (b"IEND", b"")]);
    assert!(matches!(both(&large), Error::TooManyPixels { width: 50_000, height: 50_000, max_pixels: 100_000_000 }));
    assert!(matches!(both(&png(&[(b"IHDR", &ihdr(u32::MAX, u32::MAX))])), Error::TooWide { .. }));
    assert!(matches!(both(&jpeg_header(0xc0, 65_000, 65_000)), Error::TooManyPixels { .. }));
    assert!(matches!(both(b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02"), Error::TooManyPixels { .. }));
    assert!(matches!(both(&tiff_header(60_000, 60_000)), Error::TooManyPixels { .. }));
    assert!(matches!(both(&tiff_header(u32::MAX, 1)), Error::TooWide { .. }));
    assert!(matches!(both(&bmp_header(60_000, -60_000)), Error::TooManyPixels { .. }));
    assert!(matches!(both(&bmp_header(i32::MAX, i32::MIN)), Error::TooWide { .. }));
    assert!(matches!(both(&bmp_header(-1, 1)), Error::BadHeader(_)));
    assert!(matches!(both(&webp_header(1 << 24)), Error::BadHeader(_)), "an image of 1x1 on a larger canvas");
    for empty in [png(&[(b"IHDR", &ihdr(0, 5))]), jpeg_header(0xc0, 0, 5), bmp_header(0, 0), tiff_header(0, 1)] {
        assert!(matches!(both(&empty), Error::BadHeader(_)));
    }
}

#[test]
fn unsupported_variants_are_rejected_by_their_header() {
    for (marker, variant) in [
        (0xc3, "Lossless JPEG"),
        (0xc5, "Hierarchical JPEG"),
        (0xc9, "JPEG with arithmetic coding"),
        (0xca, "JPEG with arithmetic coding"),
        (0xcb, "Lossless JPEG"),
        (0xde, "Hierarchical JPEG"),
        (0xf7, "JPEG-LS"),
    ] {
        let comment = [&b"\xff\xd8\xff\xfe\0\x04ab"[..], &jpeg_header(marker, 8, 8)[2..]].concat();
        assert!(both(&comment).message().starts_with(&format!("{variant} is not supported; save it as ")), "{variant}");
    }
    let mut deep = jpeg_header(0xc1, 8, 8);
    deep[6] = 12;
    let message = "12-bit JPEG is not supported; save it as JPEG with 8 bits per channel.";
    assert_eq!(both(&deep).message(), message);
    let message = "JPEG without a height in its header is not supported; save it again as JPEG.";
    assert_eq!(both(&jpeg_header(0xc0, 8, 0)).message(), message);
    let mut lab = tiff_header(8, 8);
    lab[42] = 10;
    assert!(matches!(both(&lab), Error::UnsupportedVariant { name: "TIFF with ITU Lab colours", .. }));
}

#[test]
fn a_bad_frame_header_is_rejected_at_the_upload() {
    for (at, value, field) in [(5, 10, "length"), (11, 0, "components"), (13, 0x51, "sampling"), (14, 4, "quantisers")]
    {
        let mut bad = jpeg_header(0xc0, 8, 8);
        bad[at] = value;
        assert!(matches!(both(&bad), Error::BadHeader(_)), "{field}");
    }
}

#[test]
fn a_profile_that_is_too_large_is_ignored() {
    let profile = |length| [b"x\0\0", &zlib(&vec![0; length])[..]].concat();
    let stored = vec![0; (16 << 20) + 1];
    for profile in [profile((16 << 20) + 1), profile(64 << 20), stored] {
        let pixel = zlib(&[0, 10, 20, 30, 255]);
        let bytes = png(&[(b"IHDR", &ihdr(1, 1)), (b"iCCP", &profile), (b"IDAT", &pixel), (b"IEND", b"")]);
        opened(&bytes, &LIMITS).unwrap();
    }
}

#[test]
fn a_file_truncated_anywhere_is_rejected() {
    for (name, bytes) in fixtures() {
        // Only the first frame or page of these is needed; it must be complete or rejected.
        let several = ["animated.webp", "partial-first-frame.gif", "two-pages.tiff"].contains(&name.as_str());
        // The trailer of a GIF is at the end and has no pixels.
        let last_matters = !name.ends_with(".gif");
        for percent in 0..100 {
            let cut = &bytes[..bytes.len() * percent / 100];
            // The last 21 bytes of a PNG are the end of its compressed rows, checksums, and the end marker.
            let complete = name.ends_with(".png") && bytes.len() - cut.len() <= 21;
            match opened(cut, &LIMITS) {
                Ok(()) if complete => {}
                Ok(()) => assert!(several || (percent == 99 && !last_matters), "{name} truncated at {percent} %"),
                Err(error) => {
                    let expected =
                        matches!(error, Error::Truncated | Error::BadHeader(_) | Error::NotAnImage | Error::Empty);
                    assert!(several || expected, "{name} truncated at {percent} %: {error:?}");
                }
            }
        }
        let trailing = [&bytes[..], b"trailing garbage \xff\xd8\xff\xd9"].concat();
        assert!(opened(&trailing, &LIMITS).is_ok(), "{name} with trailing bytes");
    }
}

#[test]
fn a_truncated_jpeg_with_an_appended_end_marker_is_rejected() {
    for (name, bytes) in
        fixtures().into_iter().filter(|(name, _)| name.ends_with(".jpg") && !name.contains("progressive"))
    {
        for percent in [60, 80, 95] {
            let closed = [&bytes[..bytes.len() * percent / 100], b"\xff\xd9"].concat();
            assert!(opened(&closed, &LIMITS).is_err(), "{name} truncated at {percent} %");
        }
    }
}

#[test]
fn damage_detected_by_a_checksum_or_code_is_rejected() {
    for (name, mut bytes) in fixtures().into_iter().filter(|(name, _)| name.ends_with(".png")) {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        assert!(matches!(opened(&bytes, &LIMITS), Err(Error::Corrupt { .. } | Error::Truncated)), "{name}");
    }
}

/// Panics of decoders are caught, and become errors.
fn assert_no_panic<T>(made: Result<T, Error>) {
    if let Err(Error::Corrupt { source }) = made {
        assert_ne!(source.to_string(), "a decoder panicked");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_bytes_after_any_signature_do_not_crash(kind in 0_usize..8, tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let heads: [&[u8]; 8] = [
            b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", b"RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0", b"GIF89a", b"II*\0\x08\0\0\0",
            b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10", b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
        ];
        let bytes = [heads[kind], &tail].concat();
        assert_no_panic(probe(Cursor::new(&bytes), &SMALL));
        assert_no_panic(thumbnail(&bytes, &SMALL));
    }

    #[test]
    fn modified_bytes_do_not_crash(at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        for (_, mut bytes) in fixtures() {
            for (index, value) in &at {
                let index = index.index(bytes.len());
                bytes[index] = *value;
            }
            assert_no_panic(opened(&bytes, &SMALL));
        }
    }

    #[test]
    fn modified_headers_do_not_crash(at in prop::collection::vec((0_usize..160, any::<u8>()), 1..4)) {
        for (_, mut bytes) in fixtures() {
            for &(index, value) in &at {
                let index = index % bytes.len();
                bytes[index] = value;
            }
            assert_no_panic(opened(&bytes, &SMALL));
        }
    }
}

#[test]
fn an_offset_out_of_range_is_a_bad_header_in_a_file_too() {
    let bytes = [&b"II\x2b\0\x08\0\0\0"[..], &u64::MAX.to_le_bytes(), &[0; 64]].concat();
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let error = variants_of_file(file, &[Spec::default()], &LIMITS).unwrap_err();
    assert!(matches!(error, Error::BadHeader(_)) && error.shows_in_header(), "{error:?}");
}
