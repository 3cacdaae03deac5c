//! Forward DCT and quantisation of 8x8 blocks (ITU-T T.81, A.3.3 and A.3.4).

use crate::zigzag::ZIGZAG;

/// Luma quantisers (ITU-T T.81, table K.1).
pub(super) const LUMA: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];

/// Chroma quantisers (ITU-T T.81, table K.2).
pub(super) const CHROMA: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
];

/// The table for a quality of 1 to 100, on the scale of the Independent JPEG Group.
pub(super) fn quantisers(table: &[u8; 64], quality: u8) -> [u8; 64] {
    let quality = u32::from(quality.clamp(1, 100));
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    table.map(|entry| ((u32::from(entry) * scale + 50) / 100).clamp(1, 255) as u8)
}

/// Quantisation of one component.
pub(super) struct Quantisation {
    /// Reciprocals of the quantisers, transposed.
    reciprocals: [f32; 64],
}

/// The coefficients of a block in zigzag order, and a bit for each non-zero one.
pub(super) struct Quantised {
    pub(super) values: [i16; 64],
    pub(super) nonzero: u64,
}

impl Quantisation {
    pub(super) fn new(quantisers: &[u8; 64]) -> Self {
        Self { reciprocals: std::array::from_fn(|at| 1.0 / f32::from(quantisers[transposed_index(at)])) }
    }

    /// Transforms samples from -128 to 127 and rounds them to multiples of the quantisers.
    pub(super) fn quantised(&self, samples: &[[f32; 8]; 8]) -> Quantised {
        // Adding this to a number of 22 bits puts its nearest integer into the lowest bits.
        const ROUNDING: f32 = 12_582_912.0;
        let columns = dct_pass(&transposed(&dct_pass(samples)));
        let mut rounded = [0_i16; 64];
        for ((rounded, coefficient), reciprocal) in
            rounded.iter_mut().zip(columns.as_flattened()).zip(&self.reciprocals)
        {
            *rounded = (coefficient * reciprocal + ROUNDING).to_bits() as i16;
        }
        let mut quantised = Quantised { values: [0; 64], nonzero: 0 };
        for (at, value) in quantised.values.iter_mut().enumerate() {
            *value = rounded[TRANSPOSED_ZIGZAG[at] as usize];
            quantised.nonzero |= u64::from(*value != 0) << at;
        }
        quantised
    }
}

/// [`ZIGZAG`] for a transposed block.
const TRANSPOSED_ZIGZAG: [u8; 64] = {
    let (mut zigzag, mut at) = ([0; 64], 0);
    while at < 64 {
        zigzag[at] = transposed_index(ZIGZAG[at] as usize) as u8;
        at += 1;
    }
    zigzag
};

const fn transposed_index(at: usize) -> usize {
    at % 8 * 8 + at / 8
}

/// One-dimensional eight-point transforms of eight columns.
fn dct_pass(rows: &[[f32; 8]; 8]) -> [[f32; 8]; 8] {
    // Half the cosines of 0 to 7 sixteenths of pi, the first one scaled like the DC coefficient.
    const C: [f32; 8] =
        [0.353_553_4, 0.490_392_64, 0.461_939_77, 0.415_734_8, 0.353_553_4, 0.277_785_12, 0.191_341_71, 0.097_545_16];
    let mut out = [[0.0; 8]; 8];
    for at in 0..8 {
        let sum = |row: usize| rows[row][at] + rows[7 - row][at];
        let difference = |row: usize| rows[row][at] - rows[7 - row][at];
        let (s0, s1, s2, s3) = (sum(0), sum(1), sum(2), sum(3));
        let (d0, d1, d2, d3) = (difference(0), difference(1), difference(2), difference(3));
        let (outer, inner) = (s0 - s3, s1 - s2);
        out[0][at] = (s0 + s3 + s1 + s2) * C[0];
        out[4][at] = (s0 + s3 - s1 - s2) * C[0];
        out[2][at] = outer * C[2] + inner * C[6];
        out[6][at] = outer * C[6] - inner * C[2];
        out[1][at] = d0 * C[1] + d1 * C[3] + d2 * C[5] + d3 * C[7];
        out[3][at] = d0 * C[3] - d1 * C[7] - d2 * C[1] - d3 * C[5];
        out[5][at] = d0 * C[5] - d1 * C[1] + d2 * C[7] + d3 * C[3];
        out[7][at] = d0 * C[7] - d1 * C[5] + d2 * C[3] - d3 * C[1];
    }
    out
}

fn transposed(rows: &[[f32; 8]; 8]) -> [[f32; 8]; 8] {
    std::array::from_fn(|row| std::array::from_fn(|column| rows[column][row]))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    #[test]
    fn a_constant_block_has_only_a_dc_coefficient() {
        let quantised = Quantisation::new(&[1; 64]).quantised(&[[-100.0; 8]; 8]);
        assert_eq!((quantised.values[0], quantised.nonzero), (-800, 1));
    }

    #[test]
    fn the_result_matches_the_formula_of_the_standard() {
        let samples: [[f32; 8]; 8] =
            std::array::from_fn(|y| std::array::from_fn(|x| ((x * x * 7 + y * 31 + x * y * 5) % 256) as f32 - 128.0));
        let quantisers: [u8; 64] = std::array::from_fn(|at| 1 + at as u8 % 5);
        let quantised = Quantisation::new(&quantisers).quantised(&samples);
        let scale = |at: usize| if at == 0 { 0.5_f64.sqrt() } else { 1.0 };
        let cosine = |x: usize, u: usize| ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos();
        for (at, &place) in ZIGZAG.iter().enumerate() {
            let (u, v) = (usize::from(place) % 8, usize::from(place) / 8);
            let places = (0..8).flat_map(|y| (0..8).map(move |x| (x, y)));
            let sum: f64 = places.map(|(x, y)| f64::from(samples[y][x]) * cosine(x, u) * cosine(y, v)).sum();
            let expected = scale(u) * scale(v) * sum / 4.0 / f64::from(quantisers[usize::from(place)]);
            assert!((f64::from(quantised.values[at]) - expected).abs() < 0.501, "{at}");
            assert_eq!(quantised.nonzero >> at & 1 == 1, quantised.values[at] != 0);
        }
    }

    #[test]
    fn quantisers_match_the_common_tables() {
        assert_eq!(quantisers(&LUMA, 80)[..8], [6, 4, 4, 6, 10, 16, 20, 24]);
        assert_eq!(quantisers(&LUMA, 50), LUMA);
        assert_eq!(quantisers(&CHROMA, 100), [1; 64]);
    }
}
