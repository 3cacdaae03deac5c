//! Inverse DCT (ITU-T T.81, A.3.3): of all 8x8 coefficients of a block, or of its lowest frequencies as a smaller
//! block.
//!
//! A block of `side` samples uses the coefficients of the `side` lowest frequencies in each direction. Transformed with
//! the cosines of that size, they give the image without the frequencies that the smaller size cannot represent.

use crate::zigzag::ZIGZAG;

/// Storage index of each of a block's lowest frequencies, by zigzag position. All other coefficients share one index
/// behind them.
#[derive(Debug, Clone, Copy)]
pub(super) struct LowFrequencies {
    /// The last zigzag position that is stored.
    pub(super) last: usize,
    indices: [u8; 64],
}

impl LowFrequencies {
    /// For blocks of `side` samples.
    pub(super) const fn new(side: usize) -> Self {
        let (mut indices, mut last, mut at) = ([(side * side) as u8; 64], 0, 0);
        while at < 64 {
            let (row, column) = (ZIGZAG[at] as usize / 8, ZIGZAG[at] as usize % 8);
            if row < side && column < side {
                indices[at] = (row * side + column) as u8;
                last = at;
            }
            at += 1;
        }
        Self { last, indices }
    }

    /// Storage index of the coefficient at a zigzag position.
    #[inline(always)]
    pub(super) fn index(&self, zigzag: usize) -> usize {
        self.indices[zigzag & 63].into()
    }
}

/// A block of `SIDE` x `SIDE` samples, where `SIDE` is 1, 2 or 8.
#[inline(always)]
pub(super) fn block<const SIDE: usize>(coefficients: &[i32], samples: &mut [u8], stride: usize) {
    match SIDE {
        1 => samples[0] = dc_sample(coefficients[0]),
        2 => idct_2x2(coefficients.first_chunk().unwrap_or(&[0; 4]), samples, stride),
        _ => idct_8x8(coefficients.first_chunk().unwrap_or(&[0; 64]), samples, stride),
    }
}

/// The sample of a block with only a DC coefficient.
#[inline(always)]
fn dc_sample(dc: i32) -> u8 {
    ((dc + (128 << 3) + 4) >> 3).clamp(0, 255) as u8
}

#[inline(always)]
fn idct_2x2(&[dc, horizontal, vertical, diagonal]: &[i32; 4], samples: &mut [u8], stride: usize) {
    let (left, right) = (dc + horizontal, dc - horizontal);
    let (left_delta, right_delta) = (vertical + diagonal, vertical - diagonal);
    if let [a, b, .., c, d] = &mut samples[..stride + 2] {
        (*a, *b) = (dc_sample(left + left_delta), dc_sample(right + right_delta));
        (*c, *d) = (dc_sample(left - left_delta), dc_sample(right - right_delta));
    }
}

/// Number of 4x4 blocks that are transformed at once: the width of the CPU's vectors.
pub(super) const LANES: usize = 4;

/// Adjacent blocks of 4x4 samples.
pub(super) fn idct_4x4(blocks: &[[i32; 16]; LANES], samples: &mut [u8], stride: usize) {
    let mut rows = [[[0.0; LANES]; 4]; 4];
    for at in 0..4 {
        let mut column = [[0.0; LANES]; 4];
        for (row, values) in column.iter_mut().enumerate() {
            *values = blocks.each_ref().map(|block| block[row * 4 + at] as f32);
        }
        for (row, values) in rows.iter_mut().zip(idct_pass_4(&column)) {
            row[at] = values;
        }
    }
    for (row, line) in rows.iter().zip(samples.chunks_mut(stride)) {
        let words = pack_samples(&idct_pass_4(row));
        for (word, samples) in words.iter().zip(line.as_chunks_mut::<4>().0) {
            *samples = word.to_le_bytes();
        }
    }
}

/// One-dimensional four-point transforms of [`LANES`] blocks.
fn idct_pass_4([a, b, c, d]: &[[f32; LANES]; 4]) -> [[f32; LANES]; 4] {
    // The cosines of 1/8 and 3/8 pi; the four-point transform is scaled by 1/2 in each direction.
    const C1: f32 = 0.923_879_5 * 0.5;
    const C3: f32 = 0.382_683_43 * 0.5;
    const EVEN: f32 = 0.353_553_4;
    let mut out = [[0.0; LANES]; 4];
    for at in 0..LANES {
        let (sum, difference) = ((a[at] + c[at]) * EVEN, (a[at] - c[at]) * EVEN);
        let (outer, inner) = (b[at] * C1 + d[at] * C3, b[at] * C3 - d[at] * C1);
        out[0][at] = sum + outer;
        out[1][at] = difference + inner;
        out[2][at] = difference - inner;
        out[3][at] = sum - outer;
    }
    out
}

/// The four samples of each block, little-endian.
fn pack_samples(values: &[[f32; LANES]; 4]) -> [u32; LANES] {
    let mut words = [0; LANES];
    for values in values.iter().rev() {
        for (word, value) in words.iter_mut().zip(values) {
            *word = *word << 8 | u32::from(to_sample(*value));
        }
    }
    words
}

fn idct_8x8(coefficients: &[i32; 64], samples: &mut [u8], stride: usize) {
    if coefficients[1..].iter().all(|&coefficient| coefficient == 0) {
        let sample = dc_sample(coefficients[0]);
        (0..8).for_each(|row| samples[row * stride..][..8].fill(sample));
        return;
    }
    let rows = std::array::from_fn(|row| std::array::from_fn(|column| coefficients[row * 8 + column] as f32));
    let rows = transposed(&idct_pass_8(&transposed(&idct_pass_8(&rows))));
    for (row, values) in rows.iter().enumerate() {
        samples[row * stride..][..8].copy_from_slice(&values.map(to_sample));
    }
}

/// One-dimensional eight-point transforms of eight columns.
fn idct_pass_8([r0, r1, r2, r3, r4, r5, r6, r7]: &[[f32; 8]; 8]) -> [[f32; 8]; 8] {
    // Half the cosines of 0 to 7 sixteenths of pi, the first one scaled like the DC coefficient.
    const C: [f32; 8] =
        [0.353_553_4, 0.490_392_64, 0.461_939_77, 0.415_734_8, 0.353_553_4, 0.277_785_12, 0.191_341_71, 0.097_545_16];
    let mut out = [[0.0; 8]; 8];
    for at in 0..8 {
        let (f0, f1, f2, f3, f4, f5, f6, f7) = (r0[at], r1[at], r2[at], r3[at], r4[at], r5[at], r6[at], r7[at]);
        let (sum, difference) = ((f0 + f4) * C[0], (f0 - f4) * C[0]);
        let (outer, inner) = (f2 * C[2] + f6 * C[6], f2 * C[6] - f6 * C[2]);
        let even = [sum + outer, difference + inner, difference - inner, sum - outer];
        let odd = [
            f1 * C[1] + f3 * C[3] + f5 * C[5] + f7 * C[7],
            f1 * C[3] - f3 * C[7] - f5 * C[1] - f7 * C[5],
            f1 * C[5] - f3 * C[1] + f5 * C[7] + f7 * C[3],
            f1 * C[7] - f3 * C[5] + f5 * C[3] - f7 * C[1],
        ];
        for row in 0..4 {
            out[row][at] = even[row] + odd[row];
            out[7 - row][at] = even[row] - odd[row];
        }
    }
    out
}

fn transposed(rows: &[[f32; 8]; 8]) -> [[f32; 8]; 8] {
    std::array::from_fn(|row| std::array::from_fn(|column| rows[column][row]))
}

/// Adding this to a number of 16 bits puts its nearest integer into the lowest bits: rounding that vectorises.
const ROUNDING: f32 = 12_582_912.0;

/// The nearest sample.
#[inline(always)]
fn to_sample(value: f32) -> u8 {
    (value + (ROUNDING + 128.0)).clamp(ROUNDING, ROUNDING + 255.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// The formula of A.3.3 over the `side` lowest frequencies of an 8x8 block.
    fn reference(coefficients: &[i32], side: usize) -> Vec<u8> {
        let scale = |at: usize| if at == 0 { 0.5_f64.sqrt() } else { 1.0 };
        let cosine = |x: usize, u: usize| ((2 * x + 1) as f64 * u as f64 * PI / (2 * side) as f64).cos();
        let sample = |x: usize, y: usize| {
            let term = |u: usize, v: usize| {
                scale(u) * scale(v) * f64::from(coefficients[v * side + u]) * cosine(x, u) * cosine(y, v)
            };
            let sum: f64 = (0..side).flat_map(|v| (0..side).map(move |u| (u, v))).map(|(u, v)| term(u, v)).sum();
            (sum / 4.0 + 128.0).round().clamp(0.0, 255.0) as u8
        };
        (0..side).flat_map(|y| (0..side).map(move |x| (x, y))).map(|(x, y)| sample(x, y)).collect()
    }

    fn coefficients<const N: usize>(seed: u32) -> [i32; N] {
        let mut state = seed;
        std::array::from_fn(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as i32 % (400 / (at as i32 + 1) + 9) - 100 / (at as i32 + 1)
        })
    }

    #[test]
    fn every_size_matches_the_formula_of_the_standard() {
        for seed in 0..200 {
            let (small, middle, large) = (coefficients::<4>(seed), coefficients::<16>(seed), coefficients::<64>(seed));
            let mut samples = [[0_u8; 4], [0; 4]].concat();
            idct_2x2(&small, &mut samples, 2);
            let mut all = vec![(samples[..4].to_vec(), reference(&small, 2))];
            let mut samples = [0; 16 * LANES];
            let mut blocks = [[0; 16]; LANES];
            for (lane, block) in blocks.iter_mut().enumerate() {
                middle.iter().zip(block).for_each(|(&value, place)| *place = value * lane as i32);
            }
            idct_4x4(&blocks, &mut samples, 4 * LANES);
            for lane in 0..LANES {
                let is = samples.chunks(4 * LANES).flat_map(|row| &row[lane * 4..lane * 4 + 4]).copied().collect();
                all.push((is, reference(&middle.map(|value| value * lane as i32), 4)));
            }
            let mut samples = [0; 64];
            idct_8x8(&large, &mut samples, 8);
            all.push((samples.to_vec(), reference(&large, 8)));
            for (is, reference) in all {
                assert!(is.iter().zip(&reference).all(|(&is, &other)| is.abs_diff(other) <= 1), "{is:?} {reference:?}");
            }
        }
    }

    #[test]
    fn low_frequencies_are_stored_by_row_and_column() {
        assert_eq!([1, 2, 4, 8].map(|side| LowFrequencies::new(side).last), [0, 4, 24, 63]);
        let frequencies = LowFrequencies::new(2);
        assert_eq!([0, 1, 2, 3, 4, 5].map(|at| frequencies.index(at)), [0, 1, 2, 4, 3, 4]);
    }
}
