//! From finished pixels to a file: JPEG, or PNG where a pixel is not opaque; never larger than promised.

mod dct;
mod huffman;
mod jpeg;
mod png;

use super::colour::Srgb;
use super::{Error, Format, Thumbnail};

/// The largest JPEG in bytes. Photographs take about 20,000 at quality 80, and noise, the worst that can come, about
/// 70,000; the quality is lowered for what would take more.
pub const MAX_JPEG_BYTES: usize = 100_000;

/// The largest PNG in bytes. Colours are coarsened, bit by bit, for what would take more.
pub const MAX_PNG_BYTES: usize = 200_000;

/// The qualities that are tried, on the scale of the Independent JPEG Group. At the last one, noise takes a few thousand
/// bytes.
const QUALITIES: [u8; 5] = [80, 65, 50, 25, 5];

/// Encodes the pixels; alpha decides the format.
pub(super) fn encode(pixels: &Srgb) -> Result<Thumbnail, Error> {
    let opaque = pixels.rgba.iter().all(|&[_, _, _, alpha]| alpha == u8::MAX);
    let (bytes, format) = match opaque {
        true => (smallest_loss(QUALITIES, MAX_JPEG_BYTES, |quality| Ok(jpeg::encode(pixels, quality)))?, Format::Jpeg),
        false => (smallest_loss(png::DEPTHS, MAX_PNG_BYTES, |bits| png::encode(pixels, bits))?, Format::Png),
    };
    Ok(Thumbnail { bytes, format, width: pixels.width as u32, height: pixels.height as u32 })
}

/// The first result that is small enough, or the last.
fn smallest_loss<const N: usize>(
    settings: [u8; N],
    most: usize,
    mut encode: impl FnMut(u8) -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for setting in settings {
        bytes = encode(setting)?;
        if bytes.len() <= most {
            break;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn noise(alpha: bool) -> Srgb {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let rgba = (0..300 * 300).map(|_| [next(), next(), next(), if alpha { next() } else { 255 }]).collect();
        Srgb { width: 300, height: 300, rgba }
    }

    #[test]
    fn noise_stays_within_the_promised_sizes() {
        let jpeg = encode(&noise(false)).unwrap();
        assert_eq!(jpeg.format, Format::Jpeg);
        assert!(jpeg.bytes.len() <= MAX_JPEG_BYTES, "{}", jpeg.bytes.len());
        let png = encode(&noise(true)).unwrap();
        assert_eq!(png.format, Format::Png);
        assert!(png.bytes.len() <= MAX_PNG_BYTES, "{}", png.bytes.len());
        let decoded =
            image::ImageReader::with_format(Cursor::new(png.bytes), image::ImageFormat::Png).decode().unwrap();
        assert_eq!((decoded.width(), decoded.height(), decoded.color()), (300, 300, image::ColorType::Rgba8));
    }

    #[test]
    fn the_coarsest_settings_are_small_enough_for_anything() {
        assert!(jpeg::encode(&noise(false), *QUALITIES.last().unwrap()).len() < MAX_JPEG_BYTES / 4);
        assert!(png::encode(&noise(true), *png::DEPTHS.last().unwrap()).unwrap().len() < MAX_PNG_BYTES * 2 / 3);
    }
}
