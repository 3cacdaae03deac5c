//! PNG of 8 bits: RGBA, or grey with alpha where no pixel has a colour.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::thumbnail::Error;
use crate::thumbnail::colour::Srgb;

/// The bits a channel that are tried; with 2 of them, 300x300 pixels have 90,000 bytes of information at most.
pub(super) const DEPTHS: [u8; 7] = [8, 7, 6, 5, 4, 3, 2];

/// zlib's usual level: the best one takes four to ten times as long, and saves 1 to 8 % of the bytes.
const LEVEL: u8 = 6;

/// Encodes with a filter for each row; of each channel only `bits` bits vary.
pub(super) fn encode(pixels: &Srgb, bits: u8) -> Result<Vec<u8>, Error> {
    let rgba = pixels.rgba.iter().map(|pixel| pixel.map(|channel| coarse(channel, bits)));
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

/// The nearest of `2^bits` levels that reach from 0 to 255, so that clear stays clear and opaque stays opaque.
fn coarse(channel: u8, bits: u8) -> u8 {
    let most = (1_u32 << bits) - 1;
    let level = (u32::from(channel) * most + 127) / 255;
    (level * 255 / most) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_channels_keep_their_ends() {
        for bits in DEPTHS {
            assert_eq!((coarse(0, bits), coarse(255, bits)), (0, 255));
        }
        assert!((0..=255).all(|channel| coarse(channel, 8) == channel));
    }
}
