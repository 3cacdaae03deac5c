//! From finished pixels to a file: JPEG, or PNG where a pixel is not opaque; never larger than promised.

mod dct;
mod huffman;
mod jpeg;
mod png;

pub(super) use dct::ZIGZAG;

use super::colour::{Srgb, Subsampled};
use super::{Error, Format, Output, SIDE, Spec, Thumbnail};

/// The largest JPEG in bytes of [`SIDE`] pixels square; a larger one may have more in proportion. Photographs take about
/// 20,000 at quality 80, and noise, the worst that can come, about 70,000; the quality is lowered for what would take
/// more.
pub const MAX_JPEG_BYTES: usize = 100_000;

/// The largest PNG in bytes, likewise. Colours are coarsened, bit by bit, for what would take more.
pub const MAX_PNG_BYTES: usize = 200_000;

/// The qualities below the wanted one that are tried. At the last one, noise takes a few thousand bytes.
const QUALITIES: [u8; 4] = [65, 50, 25, 5];

/// Encodes the pixels; alpha decides the format, unless PNG is wanted.
pub(super) fn encode(pixels: &Srgb, spec: &Spec) -> Result<Thumbnail, Error> {
    let (width, height) = (pixels.width, pixels.height);
    if spec.output == Output::Jpeg && pixels.opaque() {
        return Ok(jpeg(&pixels.into(), width, height, spec));
    }
    let most = allowed(MAX_PNG_BYTES, width, height);
    let bytes = smallest_loss(png::DEPTHS, most, |bits| png::encode(pixels, bits))?;
    Ok(Thumbnail { bytes, format: Format::Png, width: width as u32, height: height as u32 })
}

/// Encodes as JPEG what is already as JPEG stores it.
pub(super) fn encode_subsampled(picture: &Subsampled, spec: &Spec) -> Thumbnail {
    jpeg(&picture.into(), picture.width, picture.height, spec)
}

fn jpeg(picture: &jpeg::Components, width: usize, height: usize, spec: &Spec) -> Thumbnail {
    let most = allowed(MAX_JPEG_BYTES, width, height);
    let mut bytes = jpeg::encode(picture, spec.quality);
    for quality in QUALITIES.into_iter().filter(|&quality| quality < spec.quality) {
        if bytes.len() <= most {
            break;
        }
        bytes = jpeg::encode(picture, quality);
    }
    Thumbnail { bytes, format: Format::Jpeg, width: width as u32, height: height as u32 }
}

fn allowed(most: usize, width: usize, height: usize) -> usize {
    most.max((most as u64 * (width * height) as u64 / (SIDE * SIDE) as u64) as usize)
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
        let jpeg = encode(&noise(false), &Spec::default()).unwrap();
        assert_eq!(jpeg.format, Format::Jpeg);
        assert!(jpeg.bytes.len() <= MAX_JPEG_BYTES, "{}", jpeg.bytes.len());
        let png = encode(&noise(true), &Spec::default()).unwrap();
        assert_eq!(png.format, Format::Png);
        assert!(png.bytes.len() <= MAX_PNG_BYTES, "{}", png.bytes.len());
        let decoded =
            image::ImageReader::with_format(Cursor::new(png.bytes), image::ImageFormat::Png).decode().unwrap();
        assert_eq!((decoded.width(), decoded.height(), decoded.color()), (300, 300, image::ColorType::Rgba8));
    }

    #[test]
    fn the_coarsest_settings_are_small_enough_for_anything() {
        assert!(jpeg::encode(&(&noise(false)).into(), *QUALITIES.last().unwrap()).len() < MAX_JPEG_BYTES / 4);
        assert!(png::encode(&noise(true), *png::DEPTHS.last().unwrap()).unwrap().len() < MAX_PNG_BYTES * 2 / 3);
    }
}
