//! Limits that bound the cost of an image.

/// Maximum width and height in pixels, as JPEG and GIF have it.
pub const MAX_SIDE: u32 = 65_535;

/// Limits for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of pixels, width times height.
    pub max_pixels: u64,
}

impl Limits {
    /// Maximum memory in bytes for decoding: 8 bytes per pixel, as 16-bit RGBA takes, and 32 MiB for tables and
    /// metadata.
    pub fn max_bytes(&self) -> u64 {
        self.max_pixels.saturating_mul(8).saturating_add(32 << 20)
    }
}
