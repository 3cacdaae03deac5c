//! The forward transform and quantisation of 8x8 blocks (ITU-T T.81, A.3.3 and A.3.4).

use std::f32::consts::{FRAC_1_SQRT_2, PI};

/// Where the coefficients of a block stand in the file (ITU-T T.81, figure 5).
pub(in crate::thumbnail) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// ITU-T T.81, table K.1.
pub(super) const LUMA: [u8; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];

/// ITU-T T.81, table K.2.
pub(super) const CHROMA: [u8; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
];

/// The table for a quality of 1 to 100, as the Independent JPEG Group scales it.
pub(super) fn quantisers(table: &[u8; 64], quality: u8) -> [u8; 64] {
    let quality = u32::from(quality.clamp(1, 100));
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    table.map(|entry| ((u32::from(entry) * scale + 50) / 100).clamp(1, 255) as u8)
}

/// The cosines of the transform: `basis[u][x]`.
pub(super) struct Dct([[f32; 8]; 8]);

impl Dct {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|u| {
            let scale = if u == 0 { FRAC_1_SQRT_2 / 2.0 } else { 0.5 };
            std::array::from_fn(|x| scale * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos())
        }))
    }

    /// Transforms samples from -128 to 127 and rounds them to multiples of the quantisers, in zigzag order.
    pub(super) fn quantised(&self, samples: &[[f32; 8]; 8], quantisers: &[u8; 64]) -> [i16; 64] {
        let Self(basis) = self;
        let mut rows = [[0.0_f32; 8]; 8];
        for (row, samples) in rows.iter_mut().zip(samples) {
            *row = std::array::from_fn(|u| basis[u].iter().zip(samples).map(|(basis, sample)| basis * sample).sum());
        }
        let mut coefficients = [0.0_f32; 64];
        for (v, basis) in basis.iter().enumerate() {
            for (basis, row) in basis.iter().zip(&rows) {
                for u in 0..8 {
                    coefficients[v * 8 + u] += basis * row[u];
                }
            }
        }
        ZIGZAG.map(|at| (coefficients[usize::from(at)] / f32::from(quantisers[usize::from(at)])).round() as i16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_block_has_a_mean_and_nothing_else() {
        let quantised = Dct::new().quantised(&[[-100.0; 8]; 8], &[1; 64]);
        assert_eq!(quantised[0], -800);
        assert!(quantised[1..].iter().all(|&coefficient| coefficient == 0));
    }

    #[test]
    fn quality_80_is_the_table_everyone_else_uses() {
        assert_eq!(quantisers(&LUMA, 80)[..8], [6, 4, 4, 6, 10, 16, 20, 24]);
        assert_eq!(quantisers(&LUMA, 50), LUMA);
        assert_eq!(quantisers(&CHROMA, 100), [1; 64]);
    }
}
