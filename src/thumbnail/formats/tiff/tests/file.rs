//! Writes TIFF files of any layout.

use std::collections::HashMap;
use std::io::Write;

use flate2::write::ZlibEncoder;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;

use super::super::ccitt::tests::encoded;
use super::super::variant::Ccitt;

/// A page and how it is written. Samples are numbers, or the bits of floats.
pub(super) struct File {
    pub(super) width: usize,
    pub(super) height: usize,
    /// Of all channels, interleaved.
    pub(super) samples: Vec<u32>,
    pub(super) channels: usize,
    pub(super) bits: usize,
    /// Width and height of a strip or tile.
    pub(super) chunk: (usize, usize),
    pub(super) tiled: bool,
    pub(super) planar: bool,
    pub(super) big_endian: bool,
    pub(super) compression: u32,
    pub(super) predictor: u32,
    pub(super) photometric: u32,
    pub(super) extra: Vec<u32>,
    /// Further tags, or others instead: tag, type, values.
    pub(super) tags: Vec<(u16, u16, Vec<u32>)>,
}

const SHORT: u16 = 3;
const LONG: u16 = 4;

impl File {
    /// An uncompressed page of 8-bit channels in one strip. Its samples are different in each channel.
    pub(super) fn new(width: usize, height: usize, channels: usize, photometric: u32) -> Self {
        let samples = (0..width * height * channels).map(|at| {
            let (x, y, channel) = (at / channels % width, at / channels / width, at % channels);
            ((x * (channel * 2 + 3) + y * (5 - channel % 4) + channel * 50) % 251) as u32
        });
        Self {
            width,
            height,
            samples: samples.collect(),
            channels,
            bits: 8,
            chunk: (width, height),
            tiled: false,
            planar: false,
            big_endian: false,
            compression: 1,
            predictor: 1,
            photometric,
            extra: Vec::new(),
            tags: Vec::new(),
        }
    }

    fn number(&self, value: u32, bytes: usize) -> Vec<u8> {
        let little = &value.to_le_bytes()[..bytes];
        if self.big_endian { little.iter().rev().copied().collect() } else { little.to_vec() }
    }

    fn at(&self, x: usize, y: usize, channel: usize) -> u32 {
        let inside = x < self.width && y < self.height;
        if inside { self.samples[(y * self.width + x) * self.channels + channel] } else { 99 }
    }

    /// The bytes of a row of a strip or tile, predicted.
    fn row(&self, channels: &[usize], left: usize, y: usize) -> Vec<u8> {
        let columns = left..left + self.chunk.0;
        let row: Vec<u32> = columns.flat_map(|x| channels.iter().map(move |&channel| self.at(x, y, channel))).collect();
        let mask = u32::MAX >> (32 - self.bits);
        let left_of = |at: usize, row: &[u32]| at.checked_sub(channels.len()).map_or(0, |at| row[at]);
        match (self.predictor, self.bits) {
            (3, bits) => {
                let planes = (0..bits / 8).rev();
                let bytes: Vec<u32> =
                    planes.flat_map(|byte| row.iter().map(move |sample| sample >> (8 * byte) & 255)).collect();
                (0..bytes.len()).map(|at| bytes[at].wrapping_sub(left_of(at, &bytes)) as u8).collect()
            }
            (predictor, 8 | 16 | 32) => {
                let differ = |at: usize| if predictor == 2 { row[at].wrapping_sub(left_of(at, &row)) } else { row[at] };
                (0..row.len()).flat_map(|at| self.number(differ(at) & mask, self.bits / 8)).collect()
            }
            (_, bits) => {
                let all: Vec<u8> =
                    row.iter().flat_map(|sample| (0..bits).rev().map(move |bit| (sample >> bit & 1) as u8)).collect();
                all.chunks(8)
                    .map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at)))
                    .collect()
            }
        }
    }

    fn compressed(&self, bytes: Vec<u8>) -> Vec<u8> {
        let width = self.chunk.0;
        match self.compression {
            2 | 3 | 4 | 32771 if bytes.len() < width.div_ceil(8) => bytes,
            2 => fax(&bytes, width, Ccitt::Rle { word_aligned: false }),
            3 => fax(&bytes, width, Ccitt::Group3 { two_dimensional: false }),
            4 => fax(&bytes, width, Ccitt::Group4),
            32771 => fax(&bytes, width, Ccitt::Rle { word_aligned: true }),
            7 | 50001 if self.bits == 8 => self.image(&bytes).unwrap_or(bytes),
            5 => lzw(&bytes, false),
            8 => {
                let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&bytes).unwrap();
                encoder.finish().unwrap()
            }
            32773 => bytes.chunks(3).flat_map(|chunk| [&[chunk.len() as u8 - 1], chunk].concat()).collect(),
            50000 => ruzstd::encoding::compress_to_vec(&*bytes, ruzstd::encoding::CompressionLevel::Fastest),
            _ => bytes,
        }
    }

    /// JPEG of the best quality or lossless WebP; `None` for channels that these encoders do not have.
    fn image(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let channels = if self.planar { 1 } else { self.channels };
        let (width, height) = (self.chunk.0 as u32, (bytes.len() / self.chunk.0 / channels) as u32);
        let mut image = Vec::new();
        let colour = match channels {
            1 if self.compression == 7 => ExtendedColorType::L8,
            3 => ExtendedColorType::Rgb8,
            4 if self.compression == 50001 => ExtendedColorType::Rgba8,
            _ => return None,
        };
        match self.compression {
            7 => JpegEncoder::new_with_quality(&mut image, 100).encode(bytes, width, height, colour).unwrap(),
            _ => WebPEncoder::new_lossless(&mut image).encode(bytes, width, height, colour).unwrap(),
        }
        Some(image)
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let chunks: Vec<Vec<u8>> = self.chunks().into_iter().map(|chunk| self.compressed(chunk)).collect();
        self.with_chunks(&chunks)
    }

    /// The strips or tiles without compression.
    pub(super) fn chunks(&self) -> Vec<Vec<u8>> {
        let planes: Vec<Vec<usize>> = match self.planar {
            true => (0..self.channels).map(|channel| vec![channel]).collect(),
            false => vec![(0..self.channels).collect()],
        };
        let mut chunks = Vec::new();
        for plane in &planes {
            for top in (0..self.height).step_by(self.chunk.1) {
                let bottom = if self.tiled { top + self.chunk.1 } else { self.height.min(top + self.chunk.1) };
                for left in (0..self.width).step_by(self.chunk.0) {
                    chunks.push((top..bottom).flat_map(|y| self.row(plane, left, y)).collect());
                }
            }
        }
        chunks
    }

    /// The file with strips or tiles of these bytes.
    pub(super) fn with_chunks(&self, chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut file = if self.big_endian { b"MM\0*\0\0\0\0" } else { b"II*\0\0\0\0\0" }.to_vec();
        let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
        for chunk in chunks {
            offsets.push(file.len() as u32);
            lengths.push(chunk.len() as u32);
            file.extend(chunk);
        }
        let mut tags: Vec<(u16, u16, Vec<u32>)> = vec![
            (256, LONG, vec![self.width as u32]),
            (257, LONG, vec![self.height as u32]),
            (258, SHORT, vec![self.bits as u32; self.channels]),
            (259, SHORT, vec![self.compression]),
            (262, SHORT, vec![self.photometric]),
            (277, SHORT, vec![self.channels as u32]),
            (284, SHORT, vec![if self.planar { 2 } else { 1 }]),
            (317, SHORT, vec![self.predictor]),
        ];
        match self.tiled {
            true => tags.extend([
                (322, LONG, vec![self.chunk.0 as u32]),
                (323, LONG, vec![self.chunk.1 as u32]),
                (324, LONG, offsets),
                (325, LONG, lengths),
            ]),
            false => {
                tags.extend([(273, LONG, offsets), (278, LONG, vec![self.chunk.1 as u32]), (279, LONG, lengths)]);
            }
        }
        if !self.extra.is_empty() {
            tags.push((338, SHORT, self.extra.clone()));
        }
        tags.retain(|(tag, ..)| self.tags.iter().all(|(other, ..)| other != tag));
        tags.extend(self.tags.iter().filter(|(.., values)| !values.is_empty()).cloned());
        tags.sort_unstable();
        let mut entries = self.number(tags.len() as u32, 2);
        for (tag, kind, values) in tags {
            let size = match kind {
                SHORT | 8 => 2,
                LONG | 5 | 9 | 10 | 11 => 4,
                _ => 1,
            };
            let mut field: Vec<u8> = values.iter().flat_map(|&value| self.number(value, size)).collect();
            if field.len() > 4 {
                let start = file.len() as u32;
                file.extend(field);
                field = self.number(start, 4);
            }
            field.resize(4, 0);
            let count = values.len() / if matches!(kind, 5 | 10) { 2 } else { 1 };
            entries.extend(
                [self.number(tag.into(), 2), self.number(kind.into(), 2), self.number(count as u32, 4), field].concat(),
            );
        }
        let directory = self.number(file.len() as u32, 4);
        file[4..8].copy_from_slice(&directory);
        file.extend(entries);
        file.extend([0; 4]);
        file
    }
}

/// The codes of rows of bits, of which 1 is black.
fn fax(bytes: &[u8], width: usize, coding: Ccitt) -> Vec<u8> {
    let rows = bytes.chunks_exact(width.div_ceil(8));
    let rows: Vec<Vec<bool>> =
        rows.map(|row| (0..width).map(|x| row[x / 8] >> (7 - x % 8) & 1 == 1).collect()).collect();
    encoded(&rows, coding, true, true)
}

/// LZW (TIFF 6.0, section 13), or its older variant.
pub(super) fn lzw(bytes: &[u8], old: bool) -> Vec<u8> {
    const CLEAR: u32 = 256;
    let mut bits: Vec<u8> = Vec::new();
    let mut push = |code: u32, width: u32| match old {
        true => bits.extend((0..width).map(|bit| (code >> bit & 1) as u8)),
        false => bits.extend((0..width).rev().map(|bit| (code >> bit & 1) as u8)),
    };
    let (mut codes, mut next, mut width) = (HashMap::new(), 258, 9);
    push(CLEAR, width);
    let mut current = None;
    for &byte in bytes {
        let Some(prefix) = current.replace(u32::from(byte)) else { continue };
        if let Some(&code) = codes.get(&(prefix, byte)) {
            current = Some(code);
            continue;
        }
        push(prefix, width);
        codes.insert((prefix, byte), next);
        if next == 4094 {
            push(CLEAR, width);
            (codes, next, width) = (HashMap::new(), 258, 9);
            continue;
        }
        width += u32::from(next + u32::from(!old) == 1 << width);
        next += 1;
    }
    current.into_iter().for_each(|code| push(code, width));
    let byte = |bits: &[u8]| match old {
        true => bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit),
        false => bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at)),
    };
    bits.chunks(8).map(byte).collect()
}
