//! Specification of a thumbnail.

/// Width and height in pixels of the default thumbnail.
pub const SIDE: usize = 300;

/// How an image is fitted into a width and height; smaller images are enlarged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// Fills the size; the image is cropped equally on both sides.
    Cover,
    /// Fits within the size, centred; the margin is transparent if the thumbnail has alpha, otherwise black.
    Contain,
    /// Fits within the size without a margin, so that one side can be shorter.
    Inside,
}

/// Output format of a thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// JPEG; PNG if a pixel is not opaque.
    Jpeg,
    /// Always PNG.
    Png,
    /// Lossy WebP, with alpha if a pixel is not opaque.
    WebP,
    /// JPEG; WebP if a pixel is not opaque, which is much smaller than PNG.
    Auto,
}

impl Output {
    /// Whether this build can write the format: WebP requires the feature `libwebp`.
    pub const fn is_available(self) -> bool {
        match self {
            Self::Jpeg | Self::Png => true,
            Self::WebP | Self::Auto => cfg!(feature = "libwebp"),
        }
    }
}

/// Specification of one thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// How the image is fitted into the size.
    pub fit: Fit,
    /// In pixels, from 1 to [`MAX_SIDE`](super::MAX_SIDE).
    pub width: u32,
    /// In pixels, from 1 to [`MAX_SIDE`](super::MAX_SIDE).
    pub height: u32,
    /// Output format.
    pub output: Output,
    /// From 1 to 100: for JPEG on the scale of the Independent JPEG Group, for WebP on that of libwebp.
    pub quality: u8,
    /// Decodes at 1.5 times the usual minimum size: slower, and slightly sharper.
    pub fine: bool,
}

impl Default for Spec {
    /// [`SIDE`] pixels square, cropped; JPEG of quality 80.
    fn default() -> Self {
        let side = SIDE as u32;
        Self { fit: Fit::Cover, width: side, height: side, output: Output::Jpeg, quality: 80, fine: false }
    }
}
