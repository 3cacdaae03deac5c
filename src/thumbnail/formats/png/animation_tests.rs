//! APNG with and without a default image of its own.

use super::super::super::error::Error;
use super::super::super::hostile_tests::png as png_file;
use super::super::test_support::{try_rows, zlib};

const WIDTH: u32 = 40;
const HEIGHT: u32 = 30;

type Chunk = ([u8; 4], Vec<u8>);

fn file(chunks: &[Chunk]) -> Vec<u8> {
    png_file(&chunks.iter().map(|(name, data)| (name, &data[..])).collect::<Vec<_>>())
}

/// Grey samples of an image, and their compressed rows.
fn image(factor: usize) -> (Vec<u8>, Vec<u8>) {
    let samples: Vec<u8> = (0..(WIDTH * HEIGHT) as usize).map(|at| (at * factor % 251) as u8).collect();
    let rows: Vec<u8> = samples.chunks(WIDTH as usize).flat_map(|row| [&[0], row].concat()).collect();
    (samples, zlib(&rows))
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn header() -> Chunk {
    (*b"IHDR", [numbers(&[WIDTH, HEIGHT]), vec![8, 0, 0, 0, 0]].concat())
}

fn animation() -> Chunk {
    (*b"acTL", numbers(&[2, 0]))
}

fn frame(number: u32, width: u32, height: u32, x: u32) -> Chunk {
    (*b"fcTL", [numbers(&[number, width, height, x, 0]), vec![0; 6]].concat())
}

fn data(number: u32, data: &[u8]) -> Chunk {
    (*b"fdAT", [&number.to_be_bytes()[..], data].concat())
}

fn text() -> Chunk {
    (*b"tEXt", b"Comment\0between".to_vec())
}

/// A default image, and an animation of two other images whose first frame has these chunks.
fn animated(frame_chunks: &[Chunk]) -> Vec<u8> {
    let (default, other) = (image(7).1, image(31).1);
    let before = [header(), animation(), (*b"IDAT", default[..100].to_vec()), (*b"IDAT", default[100..].to_vec())];
    let behind = [frame(7, WIDTH, HEIGHT, 0), data(8, &other), (*b"IEND", Vec::new())];
    file(&[&before, frame_chunks, &behind].concat())
}

#[test]
fn the_first_frame_replaces_a_default_image_that_is_not_animated() {
    let (samples, frame_data) = image(13);
    let control = frame(0, WIDTH, HEIGHT, 0);
    let (first, second) = frame_data.split_at(50);
    for chunks in [
        vec![control.clone(), data(1, &frame_data)],
        vec![control.clone(), data(1, first), data(2, second)],
        vec![control.clone(), text(), data(1, first), text(), data(2, second)],
        vec![control.clone(), data(1, first), data(2, &[]), data(3, second)],
    ] {
        assert!(try_rows(&animated(&chunks), 1.0).unwrap() == samples);
    }
}

#[test]
fn a_default_image_that_is_the_first_frame_or_whose_animation_is_invalid_is_kept() {
    let ((samples, default), (_, other)) = (image(7), image(13));
    let first = [header(), animation(), frame(0, WIDTH, HEIGHT, 0), (*b"IDAT", default.clone())];
    let rest = [frame(1, WIDTH, HEIGHT, 0), data(2, &other), (*b"IEND", Vec::new())];
    assert!(try_rows(&file(&[&first[..], &rest].concat()), 1.0).unwrap() == samples);
    let not_animated = [header(), (*b"IDAT", default), frame(0, WIDTH, HEIGHT, 0), data(1, &other)];
    assert!(try_rows(&file(&not_animated), 1.0).unwrap() == samples);
    for frames in [0, 0x8000_0001] {
        let invalid = [header(), (*b"acTL", numbers(&[frames, 0])), not_animated[1].clone()];
        assert!(try_rows(&file(&[&invalid, &not_animated[2..]].concat()), 1.0).unwrap() == samples, "{frames}");
    }
    for chunks in [
        vec![data(1, &other)],
        vec![frame(1, WIDTH, HEIGHT, 0), data(2, &other)],
        vec![frame(0, WIDTH, HEIGHT, 0), data(2, &other)],
        vec![frame(0, WIDTH, HEIGHT, 0), frame(1, WIDTH, HEIGHT, 0), data(2, &other)],
        vec![frame(0, WIDTH - 1, HEIGHT, 0), data(1, &other)],
        vec![frame(0, WIDTH, HEIGHT, 1), data(1, &other)],
        vec![(*b"fcTL", numbers(&[0, WIDTH])), data(1, &other)],
    ] {
        assert!(try_rows(&animated(&chunks), 1.0).unwrap() == samples, "{:?}", chunks[0].1);
    }
}

#[test]
fn a_damaged_first_frame_is_not_replaced_by_the_default_image() {
    let (samples, frame_data) = image(13);
    let control = frame(0, WIDTH, HEIGHT, 0);
    let whole = animated(&[control.clone(), data(1, &frame_data)]);
    let begin = whole.windows(4).position(|name| name == b"fdAT").unwrap();
    let end = begin + 8 + frame_data.len();
    // Without the checksum of the chunk, everything is there.
    assert!(try_rows(&whole[..end], 1.0).unwrap() == samples);
    assert!(matches!(try_rows(&whole[..end - 40], 1.0), Err(Error::Truncated)));
    assert!(matches!(try_rows(&whole[..begin + 8], 1.0), Err(Error::Truncated)));
    let mut damaged = whole.clone();
    damaged[end] ^= 1;
    // A wrong checksum of the chunk, but not of the rows.
    assert!(try_rows(&damaged, 1.0).unwrap() == samples);
    damaged[begin + 30] ^= 1;
    assert!(matches!(try_rows(&damaged, 1.0), Err(Error::Corrupt { .. })));
    for length in [begin - 4, begin, begin + 6] {
        assert!(matches!(try_rows(&whole[..length], 1.0), Err(Error::Truncated)), "{length} bytes");
    }
    let short = animated(&[control.clone(), data(1, &frame_data[..50])]);
    assert!(try_rows(&short, 1.0).is_err());
    let empty = animated(&[control, data(1, &frame_data[..50]), (*b"fdAT", vec![0])]);
    assert!(matches!(try_rows(&empty, 1.0), Err(Error::Corrupt { .. })));
}

#[test]
fn controls_with_a_wrong_checksum_are_ignored() {
    let (samples, frame_data) = image(13);
    let whole = animated(&[frame(0, WIDTH, HEIGHT, 0), data(1, &frame_data)]);
    assert!(try_rows(&whole, 1.0).unwrap() == samples);
    for name in [b"acTL", b"fcTL"] {
        let at = whole.windows(4).position(|found| found == name).unwrap();
        let mut damaged = whole.clone();
        // In the number of plays, or the delay of the frame.
        damaged[at + if name == b"acTL" { 11 } else { 25 }] ^= 1;
        assert!(try_rows(&damaged, 1.0).unwrap() == image(7).0, "{name:?}");
    }
}
