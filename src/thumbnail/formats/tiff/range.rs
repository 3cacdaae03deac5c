//! The range of samples whose type does not determine it: the largest sample decides.

/// Pairs of the largest sample of a range, and its white.
pub(super) struct OpenRange([(f32, f32); 3]);

impl OpenRange {
    /// Unsigned integers of 32 bits: many programs store numbers of 8 or 16 bits.
    pub(super) const INTEGERS: Self = Self([(255.0, 255.0), (65535.0, 65535.0), (f32::INFINITY, u32::MAX as f32)]);

    /// Grey floats: most files have 0 to 1, with some overshoot of resampling; otherwise the range that libvips assumes.
    pub(super) fn floats(bits: usize) -> Self {
        let wide = if bits == 16 { 65535.0 } else { 255.0 };
        Self([(2.0, 1.0), (f32::INFINITY, wide), (f32::INFINITY, wide)])
    }

    /// Factor from a sample to 0 to 1.
    pub(super) fn scale(&self, largest: f32) -> f32 {
        self.0.iter().find(|(most, _)| largest <= *most).map_or(1.0, |(_, white)| 1.0 / white)
    }
}
