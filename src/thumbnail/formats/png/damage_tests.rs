//! Files that are damaged without losing a pixel, and files that lose some.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::super::test_support::{try_rows, zlib};
use super::tests::interlaced_png;
use crate::error::Error;
use crate::hostile_tests::png as png_file;
use crate::limits::Limits;
use crate::spec::{Output, Spec};
use crate::{variants, variants_of_file};

const LIMITS: Limits = Limits { max_pixels: 1_000_000 };

/// The thumbnail of a file with a damaged end, or the error.
fn outcome(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let spec = [Spec { width: 64, height: 64, output: Output::Png, ..Spec::default() }];
    let of_file = variants_of_file(Cursor::new(bytes), &spec, &LIMITS).map(|mut made| made.remove(0).bytes);
    let of_memory = variants(bytes, &spec, &LIMITS).map(|mut made| made.remove(0).bytes);
    assert_eq!(of_memory.as_ref().ok(), of_file.as_ref().ok());
    of_memory
}

/// Files of 16 bits per channel: constant, noisy, and interlaced.
fn sixteen_bit_files() -> [Vec<u8>; 3] {
    let noise: Vec<u8> = (0..97 * 61 * 8_usize).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let encoded = |samples: &[u8]| {
        let mut file = Vec::new();
        PngEncoder::new(&mut file).write_image(samples, 97, 61, ExtendedColorType::Rgba16).unwrap();
        file
    };
    [encoded(&[7; 97 * 61 * 8]), encoded(&noise), interlaced_png(&noise, 97, 61)]
}

#[test]
fn the_end_chunk_and_the_last_checksums_may_be_missing() {
    for file in sixteen_bit_files() {
        let expected = outcome(&file).unwrap();
        let iend = file.len() - 12;
        // IEND, the checksum of the last chunk of image data, and that of its rows.
        for missing in 0..=20 {
            assert_eq!(outcome(&file[..file.len() - missing]).unwrap(), expected, "{missing} bytes are missing");
        }
        for end in
            [&b"\0\0\0\0IEND\0\0\0\0"[..], b"\0\0\0\x05IENDabcdefghi", &[0; 12], b"some text that follows", &[0; 9000]]
        {
            assert_eq!(outcome(&[&file[..iend], end].concat()).unwrap(), expected, "{end:x?}");
        }
        assert_eq!(outcome(&[&file[..], b"trailing"].concat()).unwrap(), expected);
        for missing in [40, 100] {
            let cut = &file[..file.len() - missing];
            assert!(matches!(outcome(cut), Err(Error::Truncated)), "{missing} bytes are missing");
        }
    }
}

#[test]
fn a_wrong_checksum_of_image_data_is_accepted_if_the_rows_have_theirs() {
    for file in sixteen_bit_files() {
        let end = file.len() - 12;
        let expected = outcome(&file).unwrap();
        // The interlaced file has a wrong checksum of its rows.
        let intact = file[end - 8..end - 4] != [0; 4];
        for damaged in [[&file[..end - 4], b"abcd", &file[end..]].concat(), [&file[..end - 4], &[0; 16]].concat()] {
            match outcome(&damaged) {
                Ok(made) => assert!(intact && made == expected),
                Err(error) => assert!(!intact && matches!(error, Error::Corrupt { .. }), "{error:?}"),
            }
        }
    }
}

#[test]
fn ancillary_chunks_with_a_wrong_checksum_are_ignored() {
    for file in sixteen_bit_files() {
        let expected = outcome(&file).unwrap();
        for (name, data) in
            [(b"gAMA", &b"\0\x01\x86\xa0"[..]), (b"eXIf", b"MM"), (b"iCCP", b"x\0\0"), (b"zzZz", b"any")]
        {
            let mut wrong = png_file(&[(name, data)])[8..].to_vec();
            *wrong.last_mut().unwrap() ^= 1;
            // Behind IHDR, and behind the image data.
            for at in [33, file.len() - 12] {
                let with = [&file[..at], &wrong, &file[at..]].concat();
                assert_eq!(outcome(&with).unwrap(), expected, "{name:?} at {at}");
            }
        }
    }
}

/// A Huffman-coded file of 8 bits per channel.
fn file(width: u32, height: u32, channels: usize, samples: &[u8]) -> Vec<u8> {
    let rows: Vec<u8> = samples.chunks(width as usize * channels).flat_map(|row| [&[0], row].concat()).collect();
    let color_type = [0, 4, 2, 6][channels - 1];
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, color_type, 0, 0, 0]].concat();
    png_file(&[(b"IHDR", &header), (b"IDAT", &zlib(&rows)), (b"IEND", b"")])
}

#[test]
fn a_wrong_bit_in_the_image_data_changes_no_pixel_unnoticed() {
    let samples: Vec<u8> = (0..31 * 23_usize).map(|at| (at * at / 64) as u8 & 0x3f).collect();
    let file = file(31, 23, 1, &samples);
    assert_ne!(file[43] & 0b110, 0, "the first block is compressed");
    for bit in 41 * 8..(file.len() - 16) * 8 {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Ok(rows) = try_rows(&damaged, 1.0) {
            assert!(rows == samples, "bit {bit}");
        }
    }
}

#[test]
fn a_wrong_checksum_of_any_image_data_chunk_is_accepted_if_the_rows_have_theirs() {
    let samples: Vec<u8> = (0..200 * 90_usize).map(|at| (at * at / 64) as u8).collect();
    let plain = file(200, 90, 1, &samples);
    let data = &plain[41..plain.len() - 16];
    let split: Vec<(&[u8; 4], &[u8])> = data.chunks(1000).map(|part| (b"IDAT", part)).collect();
    let header: (&[u8; 4], &[u8]) = (b"IHDR", &plain[16..29]);
    let whole = png_file(&[&[header], &split[..], &[(b"IEND", b"")]].concat());
    assert!(split.len() > 3 && try_rows(&whole, 1.0).unwrap() == samples);
    for end in (1..split.len()).map(|chunk| 33 + chunk * 1012) {
        let mut damaged = whole.clone();
        damaged[end - 1] ^= 1;
        assert!(try_rows(&damaged, 1.0).unwrap() == samples);
        damaged[end - 500] ^= 1;
        assert!(try_rows(&damaged, 1.0).is_err());
        // Without the checksum of the zlib stream, nothing verifies the rows.
        let mut without = whole.clone();
        without[end - 1] ^= 1;
        without.truncate(without.len() - 17);
        assert!(try_rows(&without, 1.0).is_err());
    }
}

#[test]
fn the_last_rows_are_emitted_without_an_end_chunk_however_well_they_compress() {
    for side in 100..300 {
        for (channels, value) in [(3, 0xff), (4, 0)] {
            let samples = vec![value; side * side * channels];
            let file = file(side as u32, side as u32, channels, &samples);
            for missing in [12, 16, 20] {
                let rows = try_rows(&file[..file.len() - missing], 1.0);
                assert!(rows.unwrap() == samples, "{missing} bytes of {side}x{side} with {channels} channels");
            }
            for missing in [30, 40] {
                assert!(matches!(try_rows(&file[..file.len() - missing], 1.0), Err(Error::Truncated)), "{side}");
            }
        }
    }
}

#[test]
fn chunks_without_a_use_are_ignored_even_if_they_are_invalid() {
    let samples = [1, 2, 3, 4, 5, 6];
    let plain = file(2, 1, 3, &samples);
    let control = [&[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1][..], &[0; 14]].concat();
    let other_size = [&[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1][..], &[0; 14]].concat();
    for (name, data) in [
        (b"acTL", &[0; 8][..]),
        (b"acTL", b"short"),
        (b"fcTL", &control),
        (b"fcTL", &other_size),
        (b"fcTL", &[0xff; 26]),
        (b"fcTL", b"short"),
        (b"fdAT", b"x"),
        (b"mDCV", &[0; 24]),
        (b"zTXt", b"text"),
    ] {
        let chunk = png_file(&[(name, data)])[8..].to_vec();
        let with = [&plain[..33], &chunk, &plain[33..]].concat();
        assert!(try_rows(&with, 1.0).unwrap() == samples, "{name:?} of {data:x?}");
    }
    let chunk = png_file(&[(b"ABCD", b"")])[8..].to_vec();
    let with = [&plain[..33], &chunk, &plain[33..]].concat();
    assert!(matches!(try_rows(&with, 1.0), Err(Error::Corrupt { .. })), "a critical chunk");
}

#[test]
fn a_read_error_is_not_damage_even_during_the_verification() {
    /// Fails after a number of reads.
    struct Failing<'a>(Cursor<&'a [u8]>, usize);
    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1.checked_sub(1).ok_or_else(|| io::Error::other("not of the operating system"))?;
            self.0.read(buffer)
        }
    }
    impl Seek for Failing<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let mut damaged = file(31, 23, 1, &[9; 31 * 23]);
    let crc = damaged.len() - 13;
    damaged[crc] ^= 1;
    let outcomes: Vec<_> = (0..20)
        .map(|reads| variants_of_file(Failing(Cursor::new(&damaged), reads), &[Spec::default()], &LIMITS))
        .collect();
    let successful = outcomes.iter().position(Result::is_ok).unwrap();
    assert!(successful > 2);
    for failed in &outcomes[..successful] {
        assert!(matches!(failed, Err(Error::Read { .. })), "{failed:?}");
    }
}
