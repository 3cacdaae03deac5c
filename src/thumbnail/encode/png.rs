//! PNG of 8 bits: RGBA, or grey with alpha if all pixels are grey.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::error::Error;
use crate::raster::Srgb;

/// The bit depths to try; at 2 bits per channel, 300x300 pixels have at most 90,000 bytes of information.
pub(super) const DEPTHS: [u8; 7] = [8, 7, 6, 5, 4, 3, 2];

/// The default level of zlib: the best one takes four to ten times as long and saves 1 to 8 % of the bytes.
const LEVEL: u8 = 6;

/// Encodes with adaptive filters, and channels reduced to `bits` bits.
pub(super) fn encode(pixels: &Srgb, bits: u8) -> Result<Vec<u8>, Error> {
    let rgba = pixels.rgba.iter().map(|pixel| pixel.map(|channel| quantised(channel, bits)));
    let grey = pixels.rgba.iter().all(|&[red, green, blue, _]| red == green && green == blue);
    let (samples, color): (Vec<u8>, _) = match grey {
        true => (rgba.flat_map(|[grey, _, _, alpha]| [grey, alpha]).collect(), ExtendedColorType::La8),
        false => (rgba.flatten().collect(), ExtendedColorType::Rgba8),
    };
    let mut file = Vec::new();
    PngEncoder::new_with_quality(&mut file, CompressionType::Level(LEVEL), FilterType::Adaptive)
        .write_image(&samples, pixels.width as u32, pixels.height as u32, color)
        .map_err(Error::corrupt)?;
    Ok(file)
}

/// The nearest of `2^bits` levels from 0 to 255, so that transparent and opaque pixels stay so.
fn quantised(channel: u8, bits: u8) -> u8 {
    let max = (1_u32 << bits) - 1;
    let level = (u32::from(channel) * max + 127) / 255;
    (level * 255 / max) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantised_channels_keep_0_and_255() {
        for bits in DEPTHS {
            assert_eq!((quantised(0, bits), quantised(255, bits)), (0, 255));
        }
        assert!((0..=255).all(|channel| quantised(channel, 8) == channel));
    }
}
