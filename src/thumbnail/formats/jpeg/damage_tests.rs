//! Files that are damaged without losing a pixel, and files that lose some.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use super::decoder::JpegDecoder;
use super::tests::{LIMITS, decoded, decoded_by, find, fixture, fixtures, rows};
use crate::error::Error;

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

fn is_progressive(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|marker| marker == [0xff, 0xc2])
}

/// [`is_rejected`], but at a smaller size, the last scans of a progressive image are not read.
fn is_rejected_at_full_size(bytes: &[u8]) -> bool {
    decoded(bytes, 1.0, &LIMITS).is_err() && (is_progressive(bytes) || is_rejected(bytes))
}

/// Offsets of the SOS markers.
fn scan_starts(bytes: &[u8]) -> Vec<usize> {
    let markers = bytes.windows(2).enumerate();
    markers.filter(|(_, marker)| *marker == [0xff, 0xda]).map(|(at, _)| at).collect()
}

/// [`rows`] of a file that is read in parts.
fn streamed_rows(mut file: impl Read + Seek) -> Result<Vec<Vec<Vec<u8>>>, Error> {
    decoded_by(JpegDecoder::stream(&mut file, &LIMITS)?, 1.0).map(|(_, planes)| planes.0)
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
        assert!(equals(&long, &plain) && streamed_rows(Cursor::new(&long)).unwrap() == rows(&plain));
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
            // Of the next two, libjpeg concludes that an interval is missing, of the previous two, that one is
            // repeated.
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
        for end in [
            &b""[..],
            b"\xff",
            b"\0\0",
            b"\xff\0",
            b"ab",
            b"some text",
            b"\xff\xff\xff",
            &[0; 5000],
            b"\xff\xd8\xff\xe0\0\0",
        ] {
            assert!(equals(&[data, end].concat(), &plain), "{name} with {end:x?}");
        }
        assert!(streamed_rows(Cursor::new(&long)).unwrap() == rows(&plain), "{name}");
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
                let filled = [cut, &vec![0; zeros]].concat();
                assert!(is_rejected(&filled), "{name}: {zeros} zeros for {missing} bytes");
                // A progressive image with an end marker may lack whole scans.
                let last = *scan_starts(&plain).last().unwrap();
                let within_scan = !is_progressive(&plain) || cut.len() > last + 10;
                // As many zeros as data, directly before the end marker, can be data.
                if zeros > missing && within_scan {
                    assert!(is_rejected_at_full_size(&[&filled[..], b"\xff\xd9"].concat()), "{name}: {zeros}, ended");
                }
            }
        }
    }
}

#[test]
fn half_an_image_with_zeros_and_an_end_marker_is_rejected() {
    for (name, plain) in fixtures() {
        let ended = [&plain[..plain.len() * 6 / 10], &[0; 100_000], b"\xff\xd9"].concat();
        assert!(is_rejected_at_full_size(&ended), "{name}");
    }
}

#[test]
fn fill_bytes_within_data_are_rejected_however_the_file_is_read() {
    let mut tested = 0;
    for (name, plain) in fixtures() {
        let start = find(&plain, 0xda);
        let stuffed = plain[start..].windows(2).position(|pair| pair == [0xff, 0]);
        let Some(stuffed) = stuffed.map(|at| start + at) else { continue };
        tested += 1;
        for count in [1, 100, 300_000] {
            let filled = inserted(&plain, &[stuffed], &vec![0xff; count]);
            assert!(decoded(&filled, 1.0, &LIMITS).is_err(), "{name}: {count} bytes");
            assert!(streamed_rows(Cursor::new(&filled)).is_err(), "{name}: {count} bytes from a file");
        }
    }
    assert!(tested > 5);
}

#[test]
fn a_read_error_behind_complete_scans_is_not_the_end_of_the_file() {
    struct Failing<'a>(Cursor<&'a [u8]>);
    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 if !buffer.is_empty() => Err(io::Error::other("not of the operating system")),
                read => Ok(read),
            }
        }
    }
    impl Seek for Failing<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let plain = fixture("2x2-progressive");
    let long = [&plain[..plain.len() - 2], &[0; 500_000]].concat();
    assert!(streamed_rows(Cursor::new(&long)).unwrap() == rows(&plain));
    assert!(matches!(streamed_rows(Failing(Cursor::new(&long))), Err(Error::Read { .. })));
}

#[test]
fn a_progressive_image_without_scans_is_complete_only_with_an_end_marker() {
    for name in ["1x1-progressive", "2x2-progressive", "grey-progressive"] {
        let plain = fixture(name);
        let scans = scan_starts(&plain);
        for pair in scans.windows(2) {
            // Before the tables of the next scan, if it has any.
            let tables = plain[pair[0]..pair[1]].windows(2).position(|marker| marker == [0xff, 0xc4]);
            assert!(is_rejected(&plain[..tables.map_or(pair[1], |tables| pair[0] + tables)]), "{name}");
        }
        let first = &plain[..scans[1]];
        let first = &first[..first.windows(2).rposition(|marker| marker == [0xff, 0xc4]).unwrap()];
        assert!(decoded(&[first, &[0xff, 0xd9]].concat(), 8.0, &LIMITS).is_ok(), "{name}");
    }
}
