//! GIF: positions of frames, LZW data of all kinds, and files without their end.

use std::io::Cursor;

use super::super::test_support::{by_image, fixtures, rows};
use crate::error::Error;
use crate::raster::Model;
use crate::{Limits, open::open, probe};

const LIMITS: Limits = Limits { max_pixels: 1_000_000 };

/// A file with one frame.
struct Drawing {
    screen: (u16, u16),
    position: (u16, u16),
    size: (u16, u16),
    literal_bits: u8,
    /// Number of colours of the global table.
    colours: usize,
    interlaced: bool,
    /// Blocks before the frame.
    extensions: Vec<u8>,
    indices: Vec<u8>,
}

impl Drawing {
    fn new(width: u16, height: u16, literal_bits: u8) -> Self {
        let pixels = 0..u32::from(width) * u32::from(height);
        let indices = pixels.map(|at| (at.wrapping_mul(2_654_435_761) >> 20) as u8 & (((1 << literal_bits) - 1) as u8));
        Self {
            screen: (width, height),
            position: (0, 0),
            size: (width, height),
            literal_bits,
            colours: 1 << literal_bits,
            interlaced: false,
            extensions: Vec::new(),
            indices: indices.collect(),
        }
    }

    fn uniform(width: u16, height: u16) -> Self {
        let indices = vec![1; usize::from(width) * usize::from(height)];
        Self { indices, ..Self::new(width, height, 2) }
    }

    fn colour(index: usize) -> [u8; 3] {
        [40 + index * 37, 200 + index * 91, 255 - index].map(|value| value as u8)
    }

    /// Everything up to the LZW data.
    fn head(&self) -> Vec<u8> {
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let table = (self.colours.ilog2() - 1) as u8;
        let mut file = [b"GIF89a", &words(&[self.screen.0, self.screen.1])[..], &[0x80 | table, 0, 0]].concat();
        file.extend((0..self.colours).flat_map(Self::colour));
        file.extend(&self.extensions);
        file.push(b',');
        file.extend(words(&[self.position.0, self.position.1, self.size.0, self.size.1]));
        file.extend([if self.interlaced { 0x40 } else { 0 }, self.literal_bits]);
        file
    }

    fn with_data(&self, data: &[u8]) -> Vec<u8> {
        let blocks = data.chunks(255).flat_map(|block| [&[block.len() as u8], block].concat());
        self.head().into_iter().chain(blocks).chain([0, b';']).collect()
    }

    fn file(&self) -> Vec<u8> {
        let width = usize::from(self.size.0);
        let stored: Vec<u8> = if self.interlaced {
            let passes = [(0, 8), (4, 8), (2, 4), (1, 2)];
            let rows = passes.into_iter().flat_map(|(first, step)| (first..self.size.1.into()).step_by(step));
            rows.flat_map(|row: usize| self.indices[row * width..(row + 1) * width].to_vec()).collect()
        } else {
            self.indices.clone()
        };
        self.with_data(&lzw(&stored, self.literal_bits.into(), true))
    }

    /// RGBA of the screen: transparent but for the frame.
    fn expected(&self, width: usize, height: usize) -> Vec<u8> {
        let mut pixels = vec![[0; 4]; width * height];
        for (row, indices) in self.indices.chunks_exact(self.size.0.into()).enumerate() {
            let start = (row + usize::from(self.position.1)) * width + usize::from(self.position.0);
            for (pixel, &index) in pixels[start..].iter_mut().zip(indices) {
                let colour = if usize::from(index) < self.colours { Self::colour(index.into()) } else { [0; 3] };
                *pixel = [colour[0], colour[1], colour[2], u8::MAX];
            }
        }
        pixels.concat()
    }
}

/// LZW data that uses its table from the first pixel on, and keeps it when it is full.
fn lzw(indices: &[u8], literal_bits: u32, end: bool) -> Vec<u8> {
    let clear = 1_usize << literal_bits;
    let (mut bits, mut count, mut bytes, mut size) = (0_u32, 0, Vec::new(), literal_bits + 1);
    let mut put = |code: usize, size: u32| {
        bits |= (code as u32) << count;
        count += size;
        while count >= 8 {
            bytes.push(bits as u8);
            (bits, count) = (bits >> 8, count - 8);
        }
    };
    put(clear, size);
    let mut strings = std::collections::HashMap::new();
    let mut current: Option<usize> = None;
    let mut next = clear + 2;
    for &index in indices {
        let Some(code) = current else {
            current = Some(index.into());
            continue;
        };
        if let Some(&longer) = strings.get(&(code, index)) {
            current = Some(longer);
            continue;
        }
        put(code, size);
        if next < 4096 {
            strings.insert((code, index), next);
            size += u32::from(next == 1 << size && size < 12);
            next += 1;
        }
        current = Some(index.into());
    }
    current.into_iter().for_each(|code| put(code, size));
    if end {
        put(clear + 1, size);
    }
    put(0, 7);
    bytes
}

/// The rows as RGBA, and their size, which the probe must agree with.
fn rgba(bytes: &[u8]) -> (Vec<u8>, (usize, usize)) {
    let (samples, plane, header) = rows(bytes, 1.0);
    let probed = probe(Cursor::new(bytes), &LIMITS).unwrap();
    assert_eq!((plane.width, plane.height), (probed.width as usize, probed.height as usize));
    let rgba = match header.model {
        Model::Rgb => samples.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, u8::MAX]).collect(),
        _ => samples,
    };
    (rgba, (plane.width, plane.height))
}

fn decoded(bytes: &[u8]) -> Result<(), Error> {
    struct Discard;
    impl crate::raster::Sink for Discard {
        fn row(&mut self, _: usize, _: &[u8]) {}
    }
    open(bytes, &LIMITS)?.decode(&[], &mut Discard)
}

#[test]
fn gif_rows_match_a_full_decode() {
    for (name, bytes) in fixtures("gif", &[]) {
        let (samples, size) = rgba(&bytes);
        let whole = by_image(&bytes).into_rgba8();
        assert_eq!(size, (whole.width() as usize, whole.height() as usize), "{name}");
        assert!(samples == whole.into_raw(), "{name}");
    }
}

#[test]
fn a_frame_beyond_the_edge_of_the_screen_enlarges_it() {
    for (screen, position, size, shown) in [
        ((7, 5), (0, 0), (7, 5), (7, 5)),
        ((7, 5), (2, 1), (3, 2), (7, 5)),
        ((7, 5), (0, 0), (9, 20), (9, 20)),
        ((7, 5), (3, 2), (9, 2), (12, 5)),
        ((7, 5), (9, 9), (2, 3), (11, 12)),
        ((0, 0), (0, 0), (6, 4), (6, 4)),
        ((0, 9), (1, 2), (6, 4), (7, 9)),
        ((9, 0), (0, 0), (6, 4), (9, 4)),
    ] {
        for interlaced in [false, true] {
            let drawing = Drawing { screen, position, interlaced, ..Drawing::new(size.0, size.1, 4) };
            let (samples, found) = rgba(&drawing.file());
            assert_eq!(found, shown, "{screen:?} {position:?} {size:?}");
            assert!(samples == drawing.expected(shown.0, shown.1), "{screen:?} {position:?} {size:?} {interlaced}");
        }
    }
    let far = Drawing { position: (65_000, 0), ..Drawing::new(1000, 1, 2) };
    assert!(matches!(probe(Cursor::new(far.file()), &LIMITS), Err(Error::TooWide { width: 66_000, height: 1 })));
    let large = Drawing { position: (5000, 5000), ..Drawing::new(1, 1, 2) };
    assert!(matches!(probe(Cursor::new(large.file()), &LIMITS), Err(Error::TooManyPixels { .. })));
}

#[test]
fn one_colour_of_any_size_is_decoded() {
    for width in (1..40).chain([255, 257, 1021, 4099]) {
        for height in [1, 2, 5, 29, 64] {
            for interlaced in [false, true] {
                let drawing = Drawing { interlaced, ..Drawing::uniform(width, height) };
                let (samples, size) = rgba(&drawing.file());
                assert!(samples == drawing.expected(size.0, size.1), "{width}x{height}, interlaced {interlaced}");
            }
        }
    }
}

#[test]
fn codes_of_every_size_are_decoded() {
    for literal_bits in 1..=8 {
        // The last image fills the table of codes.
        for (width, height) in [(1, 1), (33, 21), (200, 150)] {
            let drawing = Drawing::new(width, height, literal_bits);
            let (samples, size) = rgba(&drawing.file());
            assert!(samples == drawing.expected(size.0, size.1), "{literal_bits} bits, {width}x{height}");
        }
    }
    for literal_bits in [0, 12] {
        let drawing = Drawing { literal_bits, ..Drawing::uniform(3, 3) };
        assert!(matches!(probe(Cursor::new(drawing.with_data(&[4, 5])), &LIMITS), Err(Error::BadHeader(_))));
    }
}

#[test]
fn a_gif_without_its_end_is_complete_if_no_pixel_is_missing() {
    for drawing in [Drawing::new(30, 20, 4), Drawing::uniform(31, 17)] {
        let expected = drawing.expected(drawing.size.0.into(), drawing.size.1.into());
        let bits = drawing.literal_bits.into();
        let without_end_code = drawing.with_data(&lzw(&drawing.indices, bits, false));
        let file = drawing.file();
        for (name, bytes) in [
            ("trailer", &file[..file.len() - 1]),
            ("terminator", &file[..file.len() - 2]),
            ("terminator, with a trailer", &[&file[..file.len() - 2], b";"].concat()),
            ("end code", &without_end_code),
            ("end code and the rest", &without_end_code[..without_end_code.len() - 2]),
        ] {
            assert!(rgba(bytes).0 == expected, "without {name}");
        }
        let cut = (1..file.len()).rev().find(|&length| decoded(&file[..length]).is_err()).unwrap();
        assert!(file.len() - cut < 8, "the last code of a pixel is needed, and nothing more");
        for length in drawing.head().len()..=cut {
            assert!(matches!(decoded(&file[..length]), Err(Error::Truncated)), "{length} of {}", file.len());
        }
        for length in 0..drawing.head().len() {
            assert!(decoded(&file[..length]).unwrap_err().shows_in_header(), "{length}");
        }
        let pixels = drawing.indices.len() - 1;
        let one_missing = drawing.with_data(&lzw(&drawing.indices[..pixels], bits, true));
        assert!(matches!(decoded(&one_missing), Err(Error::Corrupt { .. })));
    }
}

#[test]
fn undefined_codes_are_damage_only_before_the_last_pixel() {
    let drawing = Drawing::new(30, 20, 4);
    let mut data = lzw(&drawing.indices, 4, true);
    let junk_after_the_end = drawing.with_data(&[&data[..], &[0xff; 40]].concat());
    assert!(rgba(&junk_after_the_end).0 == drawing.expected(30, 20));
    let middle = data.len() / 2;
    data[middle..].fill(0xff);
    assert!(matches!(decoded(&drawing.with_data(&data)), Err(Error::Corrupt { .. })));
}

#[test]
fn colours_beyond_the_table_are_black() {
    let drawing = Drawing { colours: 4, ..Drawing::new(30, 20, 4) };
    assert!(rgba(&drawing.file()).0 == drawing.expected(30, 20));
    let mut file = drawing.file();
    // Without the global table.
    file[10] = 0;
    file.drain(13..13 + 4 * 3);
    assert!(rgba(&file).0.as_chunks().0.iter().all(|&pixel| pixel == [0, 0, 0, u8::MAX]));
}

#[test]
fn extensions_are_skipped_but_for_the_transparent_colour() {
    let plain = Drawing::new(30, 20, 4);
    let expected = plain.expected(30, 20);
    let profile = [&b"!\xff\x0bICCRGBG1012\x03"[..], b"abc\0"].concat();
    let controls = [&b"!\xf9\x04\0\0\0\x03\0"[..], b"!\xf9\0", b"!\xf9\x03\x01\0\0\0"];
    for extensions in [&b"!\xfe\x02hi\0"[..], b"!\x42\x01x\0", b"!\x42\0", &profile].into_iter().chain(controls) {
        let file = Drawing { extensions: extensions.to_vec(), ..Drawing::new(30, 20, 4) }.file();
        assert!(rgba(&file).0 == expected && rows(&file, 1.0).2.icc.is_none(), "{extensions:?}");
    }
    let transparent = |pixel: &[u8; 4]| if pixel[..3] == Drawing::colour(3) { [0; 4] } else { *pixel };
    let expected: Vec<[u8; 4]> = expected.as_chunks().0.iter().map(transparent).collect();
    for extensions in [&b"!\xf9\x04\x01\0\0\x03\0"[..], b"!\xf9\x05\x01\0\0\x03\0\0", b"!\xf9\x04\x01\0\0\x03\x01x\0"] {
        let drawing = Drawing { extensions: extensions.to_vec(), ..Drawing::new(30, 20, 4) };
        let shown = rgba(&drawing.file()).0;
        let shown = shown.as_chunks().0.iter().map(|pixel: &[u8; 4]| if pixel[3] == 0 { [0; 4] } else { *pixel });
        assert!(shown.eq(expected.iter().copied()), "{extensions:?}");
    }
}

#[test]
fn a_gif_without_a_frame_is_rejected_by_its_header() {
    let drawing = Drawing::new(3, 3, 2);
    let empty_frame = Drawing { size: (0, 3), ..Drawing::new(3, 3, 2) };
    let header = &drawing.head()[..13 + 4 * 3];
    for bytes in [header.to_vec(), [header, b";"].concat(), [header, b"\0\0,"].concat(), empty_frame.file()] {
        assert!(matches!(probe(Cursor::new(bytes), &LIMITS), Err(Error::BadHeader(_))));
    }
}
