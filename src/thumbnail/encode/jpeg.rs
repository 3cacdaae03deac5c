//! Baseline JPEG (ITU-T T.81) in a JFIF file (ITU-T T.871): 4:2:0, optimised Huffman tables.

use super::dct::{self, Quantisation, Quantised};
use super::huffman::{self, Counts, Table, Token};
use crate::raster::{Srgb, Subsampled};
use crate::zigzag::ZIGZAG;

/// The components of an image: full-size Y, Cb and Cr at half the width and height.
pub(super) struct Components {
    width: usize,
    height: usize,
    planes: [PaddedPlane; 3],
}

/// The samples of one component from -128 to 127, padded to whole MCUs of 16x16 pixels.
struct PaddedPlane {
    stride: usize,
    samples: Vec<f32>,
}

impl PaddedPlane {
    fn block(&self, column: usize, row: usize) -> [[f32; 8]; 8] {
        let mut block = [[0.0; 8]; 8];
        let lines = self.samples[row * 8 * self.stride + column * 8..].chunks(self.stride);
        for (target, line) in block.iter_mut().zip(lines) {
            target.copy_from_slice(&line[..8]);
        }
        block
    }

    /// Converts rows of `width` samples from 0 to 1, and repeats the edges up to whole MCUs of `blocks` x `blocks`
    /// blocks.
    fn new(samples: &[f32], width: usize, blocks: usize) -> Self {
        let stride = width.next_multiple_of(8 * blocks);
        let rows = (samples.len() / width).next_multiple_of(8 * blocks);
        let mut padded = Vec::with_capacity(stride * rows);
        for row in samples.chunks_exact(width) {
            padded.extend(row.iter().map(|sample| sample * 255.0 - 128.0));
            padded.resize(padded.len().next_multiple_of(stride), padded[padded.len() - 1]);
        }
        while padded.len() < stride * rows {
            padded.extend_from_within(padded.len() - stride..);
        }
        Self { stride, samples: padded }
    }
}

impl From<&Subsampled> for Components {
    fn from(image: &Subsampled) -> Self {
        let &Subsampled { width, height, planes: [ref y, ref cb, ref cr] } = image;
        let half = width.div_ceil(2);
        let planes = [PaddedPlane::new(y, width, 2), PaddedPlane::new(cb, half, 1), PaddedPlane::new(cr, half, 1)];
        Self { width, height, planes }
    }
}

impl From<&Srgb> for Components {
    /// Each chroma sample is the mean of four pixels (ITU-T T.871, 7); edges are repeated. Alpha is ignored.
    fn from(pixels: &Srgb) -> Self {
        let (width, height) = (pixels.width.next_multiple_of(16), pixels.height.next_multiple_of(16));
        let at = |x: usize, y: usize| {
            let [red, green, blue, _] = pixels.rgba[y.min(pixels.height - 1) * pixels.width + x.min(pixels.width - 1)];
            [red, green, blue].map(f32::from)
        };
        let luma = |[red, green, blue]: [f32; 3]| 0.299 * red + 0.587 * green + 0.114 * blue;
        let full = (0..height).flat_map(|y| (0..width).map(move |x| luma(at(x, y)) - 128.0)).collect();
        let (mut cb, mut cr) = (Vec::with_capacity(width * height / 4), Vec::with_capacity(width * height / 4));
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let four = [at(x, y), at(x + 1, y), at(x, y + 1), at(x + 1, y + 1)];
                let mean: [f32; 3] =
                    std::array::from_fn(|channel| four.iter().map(|pixel| pixel[channel]).sum::<f32>() / 4.0);
                cb.push((mean[2] - luma(mean)) / 1.772);
                cr.push((mean[0] - luma(mean)) / 1.402);
            }
        }
        let half = |samples| PaddedPlane { stride: width / 2, samples };
        let planes = [PaddedPlane { stride: width, samples: full }, half(cb), half(cr)];
        Self { width: pixels.width, height: pixels.height, planes }
    }
}

/// Encodes at a quality of 1 to 100. Width and height are at most 65,535.
pub(super) fn encode(image: &Components, quality: u8) -> Vec<u8> {
    let quantisers = [dct::quantisers(&dct::LUMA, quality), dct::quantisers(&dct::CHROMA, quality)];
    let tokens = tokens(&image.planes, &quantisers);
    let mut counts: [Counts; 4] = std::array::from_fn(|_| Counts::new());
    for token in &tokens {
        counts[usize::from(token.table)].add(token.symbol);
    }
    let tables = counts.map(Table::new);
    let mut file = Vec::new();
    header(&mut file, image, &quantisers, &tables);
    huffman::write(&tokens, &tables, &mut file);
    file.extend([0xff, 0xd9]);
    file
}

/// All blocks in scan order: per MCU four of Y, one of Cb, one of Cr (A.2.3).
fn tokens([luma, cb, cr]: &[PaddedPlane; 3], quantisers: &[[u8; 64]; 2]) -> Vec<Token> {
    let [of_luma, of_chroma] = quantisers.each_ref().map(Quantisation::new);
    let (columns, rows) = (cb.stride / 8, cb.samples.len() / cb.stride / 8);
    let mut tokens = Vec::with_capacity(columns * rows * 64);
    let mut dc_preds = [0; 3];
    for row in 0..rows {
        for column in 0..columns {
            for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let block = luma.block(column * 2 + x, row * 2 + y);
                block_tokens(&of_luma.quantised(&block), 0, &mut dc_preds[0], &mut tokens);
            }
            for (plane, dc_pred) in [cb, cr].into_iter().zip(&mut dc_preds[1..]) {
                block_tokens(&of_chroma.quantised(&plane.block(column, row)), 2, dc_pred, &mut tokens);
            }
        }
    }
    tokens
}

/// F.1.2: the DC coefficient as a difference from the previous block, then the AC coefficients as run-length pairs. The
/// DC table is `table`, the AC table is `table + 1`.
fn block_tokens(block: &Quantised, table: u8, dc_pred: &mut i16, tokens: &mut Vec<Token>) {
    let mut put = |table: u8, run: u8, value: i16| {
        let length = 16 - value.unsigned_abs().leading_zeros() as u8;
        // Negative values are written as their ones' complement.
        let bits = if value < 0 { value - 1 } else { value } as u16 & ((1 << length) - 1);
        tokens.push(Token { table, symbol: run << 4 | length, length, bits });
    };
    put(table, 0, block.values[0] - *dc_pred);
    *dc_pred = block.values[0];
    let (mut nonzero, mut next) = (block.nonzero >> 1 << 1, 1);
    while nonzero != 0 {
        let at = nonzero.trailing_zeros() as usize;
        let mut run = at - next;
        while run > 15 {
            put(table + 1, 15, 0);
            run -= 16;
        }
        put(table + 1, run as u8, block.values[at & 63]);
        next = at + 1;
        nonzero &= nonzero - 1;
    }
    if next < 64 {
        put(table + 1, 0, 0);
    }
}

/// All segments before the entropy-coded data (B.2).
fn header(file: &mut Vec<u8>, image: &Components, quantisers: &[[u8; 64]; 2], tables: &[Table; 4]) {
    file.extend([0xff, 0xd8]);
    segment(file, 0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    for (id, table) in (0..).zip(quantisers) {
        let zigzag = ZIGZAG.map(|at| table[usize::from(at)]);
        segment(file, 0xdb, &[&[id], &zigzag[..]].concat());
    }
    let [height, width] = [image.height, image.width].map(|side| (side as u16).to_be_bytes());
    let components = [3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
    segment(file, 0xc0, &[&[8], &height[..], &width, &components].concat());
    for (id, table) in [0x00, 0x10, 0x01, 0x11].into_iter().zip(tables) {
        segment(file, 0xc4, &[&[id], &table.lengths[..], &table.symbols].concat());
    }
    segment(file, 0xda, &[3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]);
}

fn segment(file: &mut Vec<u8>, marker: u8, payload: &[u8]) {
    file.extend([0xff, marker]);
    file.extend((payload.len() as u16 + 2).to_be_bytes());
    file.extend(payload);
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn smooth(width: usize, height: usize) -> Srgb {
        let wave = |at: usize, period: f32| (128.0 + 100.0 * (at as f32 / period).sin()) as u8;
        let pixels =
            (0..height).flat_map(|y| (0..width).map(move |x| [wave(x, 40.0), wave(y, 60.0), wave(x + y, 50.0), 255]));
        Srgb { width, height, rgba: pixels.collect() }
    }

    fn decoded(file: &[u8]) -> image::RgbImage {
        let reader = image::ImageReader::with_format(Cursor::new(file), image::ImageFormat::Jpeg);
        reader.decode().unwrap().to_rgb8()
    }

    #[test]
    fn a_smooth_image_of_any_size_survives_a_round_trip() {
        for (width, height) in [(300, 300), (1, 1), (17, 5), (16, 33)] {
            let pixels = smooth(width, height);
            let back = decoded(&encode(&(&pixels).into(), 80));
            assert_eq!(back.dimensions(), (width as u32, height as u32));
            let errors =
                pixels.rgba.iter().zip(back.pixels()).flat_map(|(was, is)| (0..3).map(|at| (was[at], is.0[at])));
            let squares: f64 = errors.map(|(was, is)| (f64::from(was) - f64::from(is)).powi(2)).sum();
            let psnr = 10.0 * (255.0 * 255.0 / (squares / (3 * width * height) as f64)).log10();
            assert!(psnr > 35.0, "{width}x{height}: {psnr}");
        }
    }

    #[test]
    fn chroma_is_subsampled_and_only_jfif_precedes_the_tables() {
        let file = encode(&(&smooth(300, 300)).into(), 80);
        assert_eq!(file[..20], *b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        let frame = file.windows(4).position(|window| window == [0xff, 0xc0, 0, 17]).unwrap();
        assert_eq!(file[frame + 4..frame + 19], [8, 1, 44, 1, 44, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
        assert!(!file.windows(2).any(|window| window[0] == 0xff && (0xe1..=0xfe).contains(&window[1])));
    }

    #[test]
    fn an_image_of_one_colour_takes_few_bytes() {
        let pixels = Srgb { width: 300, height: 300, rgba: vec![[200, 30, 90, 255]; 90_000] };
        let file = encode(&(&pixels).into(), 80);
        assert!(file.len() < 1000, "{}", file.len());
        assert!(
            decoded(&file).pixels().all(|pixel| pixel
                .0
                .iter()
                .zip([200, 30, 90])
                .all(|(&is, was)| is.abs_diff(was) <= 3))
        );
    }
}
