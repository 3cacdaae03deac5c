//! Encoders: final pixels to JPEG, WebP or PNG, with a bounded file size.

mod dct;
mod huffman;
mod jpeg;
mod png;
#[cfg(feature = "libwebp")]
mod webp;

use super::error::Error;
use super::formats::Format;
use super::raster::{Srgb, Subsampled};
use super::spec::{Output, SIDE, Spec};

/// Maximum bytes of a JPEG or an opaque WebP of [`SIDE`] pixels square; the limit of a larger one grows with its area.
/// Photos take about 20,000 at quality 80, and noise, the worst case, about 70,000. Above the limit, the quality is
/// lowered.
pub const MAX_JPEG_BYTES: usize = 100_000;

/// Maximum bytes of a PNG or a WebP with alpha, likewise. Above the limit, the bit depth of a PNG is reduced.
pub const MAX_PNG_BYTES: usize = 200_000;

/// Qualities to try below the requested one. At the last one, noise takes a few thousand bytes.
const FALLBACK_QUALITIES: [u8; 4] = [65, 50, 25, 5];

/// An encoded thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// The encoded file.
    pub bytes: Vec<u8>,
    /// The format that the [`Output`] selected.
    pub format: Format,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// Encodes the pixels. For outputs with a choice of formats, alpha determines the format.
pub(super) fn encode(pixels: &Srgb, spec: &Spec) -> Result<Thumbnail, Error> {
    let (width, height) = (pixels.width, pixels.height);
    match spec.output {
        Output::Jpeg | Output::Auto if pixels.is_opaque() => Ok(jpeg(&pixels.into(), width, height, spec)),
        Output::WebP | Output::Auto => webp(pixels, spec),
        Output::Jpeg | Output::Png => {
            let max = max_bytes(MAX_PNG_BYTES, width, height);
            let bytes = first_within(png::DEPTHS, max, |bits| png::encode(pixels, bits))?;
            Ok(Thumbnail { bytes, format: Format::Png, width: width as u32, height: height as u32 })
        }
    }
}

/// Encodes subsampled YCbCr as JPEG.
pub(super) fn encode_subsampled(image: &Subsampled, spec: &Spec) -> Thumbnail {
    jpeg(&image.into(), image.width, image.height, spec)
}

fn jpeg(components: &jpeg::Components, width: usize, height: usize, spec: &Spec) -> Thumbnail {
    let max = max_bytes(MAX_JPEG_BYTES, width, height);
    let mut bytes = jpeg::encode(components, spec.quality);
    for quality in fallback_qualities(spec.quality) {
        if bytes.len() <= max {
            break;
        }
        bytes = jpeg::encode(components, quality);
    }
    Thumbnail { bytes, format: Format::Jpeg, width: width as u32, height: height as u32 }
}

#[cfg(feature = "libwebp")]
fn webp(pixels: &Srgb, spec: &Spec) -> Result<Thumbnail, Error> {
    let (width, height) = (pixels.width, pixels.height);
    let max = max_bytes(if pixels.is_opaque() { MAX_JPEG_BYTES } else { MAX_PNG_BYTES }, width, height);
    let mut bytes = webp::encode(pixels, spec.quality)?;
    for quality in fallback_qualities(spec.quality) {
        if bytes.len() <= max {
            break;
        }
        bytes = webp::encode(pixels, quality)?;
    }
    Ok(Thumbnail { bytes, format: Format::WebP, width: width as u32, height: height as u32 })
}

#[cfg(not(feature = "libwebp"))]
fn webp(_: &Srgb, _: &Spec) -> Result<Thumbnail, Error> {
    Err(Error::Unsupported("WebP as output"))
}

/// The qualities to try after the requested one.
fn fallback_qualities(requested: u8) -> impl Iterator<Item = u8> {
    FALLBACK_QUALITIES.into_iter().filter(move |&quality| quality < requested)
}

/// Scales a limit for [`SIDE`] pixels square up to a larger thumbnail.
fn max_bytes(limit: usize, width: usize, height: usize) -> usize {
    limit.max((limit as u64 * (width * height) as u64 / (SIDE * SIDE) as u64) as usize)
}

/// The first result within the limit, or the last result.
fn first_within<const N: usize>(
    settings: [u8; N],
    max: usize,
    mut encode: impl FnMut(u8) -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for setting in settings {
        bytes = encode(setting)?;
        if bytes.len() <= max {
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
    fn noise_stays_within_the_size_limits() {
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

    #[cfg(feature = "libwebp")]
    #[test]
    fn a_webp_keeps_the_size_limit_the_colours_and_alpha() {
        for (alpha, max) in [(false, MAX_JPEG_BYTES), (true, MAX_PNG_BYTES)] {
            let made = encode(&noise(alpha), &Spec { output: Output::WebP, ..Spec::default() }).unwrap();
            assert_eq!(made.format, Format::WebP);
            assert!(made.bytes.len() <= max, "{}", made.bytes.len());
        }
        let half = |x: usize| if x < 16 { [200, 40, 90, 255] } else { [0, 0, 0, 0] };
        let pixels = Srgb { width: 32, height: 20, rgba: (0..640).map(|at| half(at % 32)).collect() };
        let file = encode(&pixels, &Spec { output: Output::Auto, ..Spec::default() }).unwrap();
        assert_eq!((file.format, file.width, file.height), (Format::WebP, 32, 20));
        let back = image::load_from_memory(&file.bytes).unwrap().to_rgba8();
        let near =
            |x: u32, wanted: [u8; 4]| back.get_pixel(x, 9).0.iter().zip(wanted).all(|(is, was)| is.abs_diff(was) < 8);
        assert!(near(5, [200, 40, 90, 255]) && back.get_pixel(28, 9).0[3] == 0);
    }

    #[test]
    fn opaque_pixels_become_jpeg_unless_the_output_is_another_format() {
        let format = |output| encode(&noise(false), &Spec { output, ..Spec::default() }).unwrap().format;
        assert_eq!([Output::Jpeg, Output::Auto, Output::Png].map(format), [Format::Jpeg, Format::Jpeg, Format::Png]);
    }

    #[test]
    fn the_last_fallback_settings_are_within_the_limits_for_noise() {
        assert!(jpeg::encode(&(&noise(false)).into(), *FALLBACK_QUALITIES.last().unwrap()).len() < MAX_JPEG_BYTES / 4);
        assert!(png::encode(&noise(true), *png::DEPTHS.last().unwrap()).unwrap().len() < MAX_PNG_BYTES * 2 / 3);
    }
}
