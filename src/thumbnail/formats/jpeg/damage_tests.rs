//! Files that are damaged without losing a pixel, and files that lose some.

use std::io::Cursor;

use super::super::codec::RowDecoder;
use super::decoder::JpegDecoder;
use super::tests::{LIMITS, Planes, decoded, find, fixture, fixtures, rows};
use crate::thumbnail::error::Error;
use crate::thumbnail::raster::{Area, Goal};

const STEPS: [f64; 4] = [1.0, 2.0, 4.0, 8.0];

/// Whether all sizes have the samples of another file.
fn equals(bytes: &[u8], plain: &[u8]) -> bool {
    STEPS.iter().all(|&step| match decoded(bytes, step, &LIMITS) {
        Ok((_, planes)) => planes.0 == decoded(plain, step, &LIMITS).unwrap().1.0,
        Err(_) => false,
    })
}

fn is_rejected(bytes: &[u8]) -> bool {
    STEPS.iter().all(|&step| decoded(bytes, step, &LIMITS).is_err())
}

/// [`rows`] of a file that is read in parts.
fn streamed_rows(bytes: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, Error> {
    let mut file = Cursor::new(bytes);
    let mut jpeg = JpegDecoder::stream(&mut file, &LIMITS)?;
    let planes = jpeg.shrink(Goal { step: 1.0, chroma: 1.0 });
    let all: Vec<Area> = planes.iter().map(|plane| Area { columns: 0..plane.width, rows: 0..plane.height }).collect();
    let mut sink = Planes::default();
    jpeg.decode(&all, &mut sink)?;
    Ok(sink.0)
}

fn with_restarts() -> [Vec<u8>; 3] {
    ["1x1-restart", "2x2-restart", "2x2-progressive-restart"].map(fixture)
}

/// Offsets of the restart markers.
fn restart_markers(bytes: &[u8]) -> Vec<usize> {
    let start = find(bytes, 0xda);
    (start..bytes.len() - 1).filter(|&at| matches!(bytes[at..at + 2], [0xff, 0xd0..=0xd7])).collect()
}

/// The file with bytes before each of these offsets.
fn inserted(bytes: &[u8], offsets: &[usize], stray: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    offsets.iter().rev().for_each(|&at| drop(file.splice(at..at, stray.iter().copied())));
    file
}

#[test]
fn stray_bytes_before_restart_markers_are_skipped() {
    for plain in with_restarts() {
        let markers = restart_markers(&plain);
        assert!(markers.len() > 3);
        for stray in [&b"\x55\xaa\x55"[..], b"\0", b"\xff\0", b"\xff\xff", b"\x11\xff\x02\x22", &[0x12; 100]] {
            assert!(equals(&inserted(&plain, &markers[1..2], stray), &plain), "one marker, {stray:x?}");
            assert!(equals(&inserted(&plain, &markers, stray), &plain), "every marker, {stray:x?}");
        }
        let long = inserted(&plain, &markers[..3], &[0x34; 100_000]);
        assert!(equals(&long, &plain) && streamed_rows(&long).unwrap() == rows(&plain));
    }
}

#[test]
fn restart_markers_are_accepted_from_which_libjpeg_continues() {
    for plain in with_restarts() {
        let markers = restart_markers(&plain);
        let (at, number) = (markers[2], plain[markers[2] + 1] & 7);
        for ahead in 0..8 {
            let marker = [0xff, 0xd0 | (number + ahead) & 7];
            let mut renumbered = plain.clone();
            renumbered[at + 1] = marker[1];
            // Of the next two, libjpeg concludes that an interval is missing, of the previous two, that one is repeated.
            let continues = matches!(ahead, 0 | 3..=5);
            assert!(if continues { equals(&renumbered, &plain) } else { is_rejected(&renumbered) }, "{ahead} ahead");
            let extra = inserted(&plain, &[at], &marker);
            assert!(if ahead > 5 { equals(&extra, &plain) } else { is_rejected(&extra) }, "one more, {ahead} ahead");
        }
    }
}

#[test]
fn a_missing_or_misplaced_restart_marker_is_rejected() {
    for plain in with_restarts() {
        let at = restart_markers(&plain)[1];
        assert!(is_rejected(&[&plain[..at], &plain[at + 2..]].concat()), "missing");
        assert!(is_rejected(&[&plain[..at - 2], &plain[at..]].concat()), "too early");
        assert!(is_rejected(&inserted(&plain, &[at], b"\xff\xd9")), "an end in the middle");
        assert!(is_rejected(&inserted(&plain, &[at], b"\xff\xfe\0\x04ab")), "a segment in the middle");
    }
}

#[test]
fn an_image_is_complete_without_its_end_marker() {
    for (name, plain) in fixtures() {
        let data = &plain[..plain.len() - 2];
        let long = [data, &[0; 300_000]].concat();
        for end in [&b""[..], b"\xff", b"\0\0", b"\xff\0", b"ab", b"\xff\xff\xff", &[0; 5000], b"\xff\xd8\xff\xe0\0\0"]
        {
            assert!(equals(&[data, end].concat(), &plain), "{name} with {end:x?}");
        }
        assert!(streamed_rows(&long).unwrap() == rows(&plain), "{name}");
    }
}

#[test]
fn data_without_an_end_marker_must_be_there_to_the_last_byte() {
    for (name, plain) in fixtures() {
        let data = &plain[..plain.len() - 2];
        for missing in [1, 2, 3, 5, 10, 50, data.len() / 2] {
            let cut = &data[..data.len() - missing];
            assert!(is_rejected(cut), "{name} without {missing} bytes");
            for zeros in [missing, missing + 2, 10_000] {
                assert!(is_rejected(&[cut, &vec![0; zeros]].concat()), "{name}: {zeros} zeros for {missing} bytes");
            }
        }
        assert!(is_rejected(&[data, b"some text"].concat()), "{name}: neither an end marker nor zeros");
    }
}

#[test]
fn a_progressive_image_without_scans_is_complete_only_with_an_end_marker() {
    for name in ["1x1-progressive", "2x2-progressive", "grey-progressive"] {
        let plain = fixture(name);
        let scans = plain.windows(2).enumerate().filter(|(_, marker)| *marker == [0xff, 0xda]);
        let scans: Vec<usize> = scans.map(|(at, _)| at).collect();
        for end in &scans[1..] {
            let tables = plain[..*end].windows(2).rposition(|marker| marker == [0xff, 0xc4]).unwrap();
            let cut = &plain[..if scans.contains(&tables) { *end } else { tables.min(*end) }];
            assert!(is_rejected(cut), "{name}");
        }
        let first = &plain[..scans[1]];
        let first = &first[..first.windows(2).rposition(|marker| marker == [0xff, 0xc4]).unwrap()];
        assert!(decoded(&[first, &[0xff, 0xd9]].concat(), 8.0, &LIMITS).is_ok(), "{name}");
    }
}
