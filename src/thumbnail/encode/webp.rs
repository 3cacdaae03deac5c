//! Lossy WebP through libwebp: 4:2:0 like JPEG, lossless alpha.

use webpx::{EncoderConfig, Unstoppable};

use crate::error::Error;
use crate::raster::Srgb;

/// Maximum width and height of the format in pixels.
const MAX_SIDE: usize = 16_383;

/// Encodes at a quality of 1 to 100 on the scale of libwebp.
pub(super) fn encode(pixels: &Srgb, quality: u8) -> Result<Vec<u8>, Error> {
    let (width, height) = (pixels.width, pixels.height);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(Error::Unsupported("A WebP thumbnail of more than 16,383 pixels a side"));
    }
    let encoder = EncoderConfig::new().quality(quality.into());
    let (width, height, opaque) = (width as u32, height as u32, pixels.is_opaque());
    let encoded = if opaque {
        let rgb: Vec<u8> = pixels.rgba.iter().flat_map(|&[red, green, blue, _]| [red, green, blue]).collect();
        encoder.encode_rgb(&rgb, width, height, Unstoppable)
    } else {
        encoder.encode_rgba(pixels.rgba.as_flattened(), width, height, Unstoppable)
    };
    encoded.map_err(|error| Error::corrupt(error.decompose().0))
}
