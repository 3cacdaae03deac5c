//! Samples to pixels: full range, palettes, YCbCr, Lab, and linear light.

use std::io::Cursor;
use std::sync::LazyLock;

use super::directory::{Directory, tag};
use super::page::Page;
use super::range::OpenRange;
use super::samples::{Samples, unpacked};
use super::variant::{Compression, Photometric, SampleType};
use crate::error::Error;
use crate::raster::{Depth, Model, to_u8};

/// Converts the samples of a page to a colour model that the pipeline has.
pub(super) struct Converter {
    conversion: Conversion,
    pub(super) model: Model,
    pub(super) depth: Depth,
    /// Factor from a sample to the range of its depth.
    scale: f32,
    /// The ranges that samples can have, if the largest sample decides.
    open_range: Option<OpenRange>,
    /// Used channels per pixel before the conversion.
    channels: usize,
    colours: usize,
    /// Whether colours are multiplied by alpha in the file.
    premultiplied: bool,
}

enum Conversion {
    Keep,
    /// Scale to the full range, and invert the first channel if large numbers are dark.
    Scale {
        inverted: bool,
    },
    Palette(Vec<[u16; 3]>),
    YCbCr(YCbCr),
    Lab {
        signed: bool,
    },
    /// Linear light of the primaries of sRGB.
    Linear,
}

impl Converter {
    pub(super) fn new(bytes: &[u8], directory: &Directory, page: &Page, has_profile: bool) -> Result<Self, Error> {
        let (depth, max) = unpacked(page);
        let full = match depth {
            Depth::U8 => 255.0,
            Depth::U16 => 65535.0,
            Depth::F32 => 1.0,
        };
        let alpha = page.alpha.is_some();
        let rgb = if alpha { Model::Rgba } else { Model::Rgb };
        // Signed numbers and floats are not inverted, as in libvips.
        let unsigned = page.sample == SampleType::Unsigned;
        let inverted = page.photometric == Photometric::Grey { white_is_zero: true } && unsigned;
        let scaled = if inverted || full != max { Conversion::Scale { inverted } } else { Conversion::Keep };
        let (conversion, model, depth) = match page.photometric {
            Photometric::Grey { .. } => (scaled, if alpha { Model::GreyAlpha } else { Model::Grey }, depth),
            // As in libvips, after Photoshop.
            Photometric::Rgb if page.sample == SampleType::Float && !has_profile => {
                (Conversion::Linear, rgb, Depth::U16)
            }
            Photometric::Rgb => (scaled, rgb, depth),
            Photometric::Cmyk if alpha => (scaled, Model::CmykAlpha, depth),
            Photometric::Cmyk => (scaled, Model::Cmyk { inverted: false }, depth),
            Photometric::Palette => (Conversion::Palette(palette(bytes, directory, page.bits)?), rgb, depth),
            Photometric::CieLab => (Conversion::Lab { signed: true }, rgb, Depth::U16),
            Photometric::IccLab => (Conversion::Lab { signed: false }, rgb, Depth::U16),
            Photometric::YCbCr => match YCbCr::read(bytes, directory, page)? {
                conversion if conversion.is_jfif() && !alpha => (Conversion::Keep, Model::YCbCr, depth),
                conversion => (Conversion::YCbCr(conversion), rgb, Depth::U8),
            },
        };
        let colours = page.photometric.colours();
        let open_range = match page.photometric {
            _ if unsigned && page.bits > 16 => Some(OpenRange::INTEGERS),
            Photometric::Grey { .. } if depth == Depth::F32 => Some(OpenRange::floats(page.bits)),
            _ => None,
        };
        let scale = if open_range.is_some() { 1.0 } else { full / max };
        let channels = colours + usize::from(alpha);
        let premultiplied = page.premultiplied;
        Ok(Self { conversion, model, depth, scale, open_range, channels, colours, premultiplied })
    }

    /// Whether pixels are the same before and after.
    pub(super) fn keeps(&self) -> bool {
        matches!(self.conversion, Conversion::Keep) && (self.depth != Depth::F32 || self.scale == 1.0)
    }

    /// Whether converted colours are multiplied by alpha. Conversions that are not linear divide by it first.
    pub(super) fn is_premultiplied(&self) -> bool {
        self.premultiplied && !matches!(self.conversion, Conversion::Linear | Conversion::Lab { .. })
    }

    /// Factor that reverts the multiplication by an alpha from 0 to 1.
    fn division(&self, alpha: Option<f32>) -> f32 {
        match alpha.filter(|_| self.premultiplied) {
            Some(alpha) if alpha > 0.0 => 1.0 / alpha,
            Some(_) => 0.0,
            None => 1.0,
        }
    }

    /// Whether samples are kept as they are until [`choose_range`](Self::choose_range) is called.
    pub(super) fn has_open_range(&self) -> bool {
        self.open_range.is_some()
    }

    /// Sets the range of samples by the largest one.
    pub(super) fn choose_range(&mut self, largest: f32) {
        if let Some(range) = self.open_range.take() {
            self.scale = range.scale(largest);
        }
    }

    /// Converts a row of `width` pixels that begins at a pixel of the samples, to bytes in the order of the machine.
    pub(super) fn convert(&self, samples: &Samples, first: usize, width: usize, row: &mut Vec<u8>) {
        row.clear();
        let range = first * self.channels..(first + width) * self.channels;
        match samples {
            Samples::U8(samples) => self.convert_integers(&samples[range], row),
            Samples::U16(samples) => self.convert_integers(&samples[range], row),
            Samples::F32(samples) if self.depth == Depth::F32 => {
                let inverted =
                    self.open_range.is_none() && matches!(self.conversion, Conversion::Scale { inverted: true });
                for pixel in samples[range].chunks_exact(self.channels) {
                    let first = if inverted { 1.0 - pixel[0] * self.scale } else { pixel[0] * self.scale };
                    row.extend(first.to_ne_bytes());
                    row.extend(pixel[1..].iter().flat_map(|sample| (sample * self.scale).to_ne_bytes()));
                }
            }
            Samples::F32(samples) => {
                for pixel in samples[range].chunks_exact(self.channels) {
                    let (colours, alpha) = pixel.split_at(self.colours);
                    let factor = self.division(alpha.first().copied());
                    row.extend(colours.iter().flat_map(|&light| encoded(light * factor).to_ne_bytes()));
                    row.extend(alpha.iter().flat_map(|&alpha| ((alpha * 65535.0 + 0.5) as u16).to_ne_bytes()));
                }
            }
        }
    }

    fn convert_integers<T: Copy + Into<u16>>(&self, samples: &[T], row: &mut Vec<u8>) {
        let scaled = |sample: T| f32::from(sample.into()) * self.scale;
        let pixels = samples.chunks_exact(self.channels);
        match &self.conversion {
            Conversion::Keep => samples.iter().for_each(|&sample| self.push(sample.into(), row)),
            // Floats only.
            Conversion::Linear => {}
            Conversion::Scale { inverted } => {
                let full = if self.depth == Depth::U8 { 255.0 } else { 65535.0 };
                for pixel in pixels {
                    for (channel, &sample) in pixel.iter().enumerate() {
                        let sample = scaled(sample);
                        let sample = if *inverted && channel == 0 { full - sample } else { sample };
                        self.push((sample + 0.5) as u16, row);
                    }
                }
            }
            Conversion::Palette(palette) => {
                for pixel in pixels {
                    let index: u16 = pixel[0].into();
                    let colour = palette.get(usize::from(index)).copied().unwrap_or_default();
                    colour.into_iter().for_each(|channel| self.push(channel, row));
                    pixel[1..].iter().for_each(|&alpha| self.push((scaled(alpha) + 0.5) as u16, row));
                }
            }
            Conversion::YCbCr(conversion) => {
                for pixel in pixels {
                    row.extend(conversion.to_rgb([0, 1, 2].map(|at| f32::from(pixel[at].into()) * conversion.scale)));
                    row.extend(
                        pixel[3..].iter().map(|&alpha| to_u8(f32::from(alpha.into()) * conversion.scale / 255.0)),
                    );
                }
            }
            Conversion::Lab { signed } => {
                let wide = size_of::<T>() == 2;
                for pixel in pixels {
                    let alpha = pixel.get(3).map(|&alpha| f32::from(alpha.into()) / if wide { 65535.0 } else { 255.0 });
                    let factor = self.division(alpha);
                    let lab = lab([0, 1, 2].map(|at| pixel[at].into()), wide, *signed).map(|number| number * factor);
                    row.extend(lab_to_light(lab).into_iter().flat_map(|light| encoded(light).to_ne_bytes()));
                    let alphas = pixel[3..].iter().map(|&alpha| if wide { alpha.into() } else { alpha.into() * 257 });
                    row.extend(alphas.flat_map(u16::to_ne_bytes));
                }
            }
        }
    }

    fn push(&self, sample: u16, row: &mut Vec<u8>) {
        match self.depth {
            Depth::U8 => row.push(sample as u8),
            _ => row.extend(sample.to_ne_bytes()),
        }
    }
}

/// The colours of a palette, of 8 bits for up to 256 of them. Some programs write 8 bits where 16 belong.
fn palette(bytes: &[u8], directory: &Directory, bits: usize) -> Result<Vec<[u16; 3]>, Error> {
    let count = 1_usize << bits;
    let map = directory.integers(&mut Cursor::new(bytes), tag::COLOUR_MAP, 3 * 65536)?;
    if map.len() < 3 * count {
        return Err(Error::corrupt("a palette with too few colours"));
    }
    let narrow = map[..3 * count].iter().all(|&channel| channel < 256);
    let channel = |index: usize| match (narrow, bits) {
        (true, 16) => map[index] as u16 * 257,
        (false, ..16) => (map[index] >> 8) as u16,
        _ => map[index] as u16,
    };
    Ok((0..count).map(|index| [0, 1, 2].map(|plane| channel(plane * count + index))).collect())
}

/// Conversion of 8-bit YCbCr to RGB (TIFF 6.0, section 21).
struct YCbCr {
    /// The shares of red, green and blue in luma.
    luma: [f32; 3],
    /// The codes of black and white for Y, Cb and Cr.
    reference: [f32; 6],
    /// Factor from a sample to 8 bits.
    scale: f32,
}

impl YCbCr {
    const JFIF_LUMA: [f32; 3] = [0.299, 0.587, 0.114];
    const JFIF_REFERENCE: [f32; 6] = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];

    fn read(bytes: &[u8], directory: &Directory, page: &Page) -> Result<Self, Error> {
        let mut reader = Cursor::new(bytes);
        let luma = directory.fractions(&mut reader, tag::YCBCR_COEFFICIENTS)?;
        let reference = directory.fractions(&mut reader, tag::REFERENCE_BLACK_WHITE)?;
        let luma = luma.filter(|luma: &[f32; 3]| luma[1] > 0.0);
        let reference =
            reference.filter(|pairs: &[f32; 6]| pairs.as_chunks::<2>().0.iter().all(|[low, high]| low < high));
        // JPEG data are always of JFIF.
        let tags = if page.compression == Compression::Jpeg { (None, None) } else { (luma, reference) };
        let scale = if page.bits == 16 { 1.0 / 257.0 } else { 1.0 };
        Ok(Self { luma: tags.0.unwrap_or(Self::JFIF_LUMA), reference: tags.1.unwrap_or(Self::JFIF_REFERENCE), scale })
    }

    fn is_jfif(&self) -> bool {
        let near = |one: &[f32], other: &[f32], tolerance| {
            one.iter().zip(other).all(|(one, other)| (one - other).abs() < tolerance)
        };
        near(&self.luma, &Self::JFIF_LUMA, 0.001) && near(&self.reference, &Self::JFIF_REFERENCE, 0.5)
    }

    fn to_rgb(&self, [y, cb, cr]: [f32; 3]) -> [u8; 3] {
        let [y_black, y_white, cb_zero, cb_max, cr_zero, cr_max] = self.reference;
        let y = (y - y_black) * 255.0 / (y_white - y_black);
        let (cb, cr) = ((cb - cb_zero) * 127.0 / (cb_max - cb_zero), (cr - cr_zero) * 127.0 / (cr_max - cr_zero));
        let (red, blue) = (cr * (2.0 - 2.0 * self.luma[0]) + y, cb * (2.0 - 2.0 * self.luma[2]) + y);
        let green = (y - self.luma[2] * blue - self.luma[0] * red) / self.luma[1];
        [red, green, blue].map(|channel| to_u8((channel / 255.0).clamp(0.0, 1.0)))
    }
}

/// L*, a* and b* of samples: of 8 or 16 bits, with signed (TIFF 6.0, section 23) or offset a* and b* (ICC.1, 6.3.4.2).
fn lab([l, a, b]: [u16; 3], wide: bool, signed: bool) -> [f32; 3] {
    let lightness = match (wide, signed) {
        (false, _) => 255.0,
        (true, true) => 65535.0,
        (true, false) => 65280.0,
    };
    let chroma = |sample: u16| match (wide, signed) {
        (false, true) => f32::from((sample as u8).cast_signed()),
        (true, true) => f32::from(sample.cast_signed()) / 256.0,
        (false, false) => f32::from(sample) - 128.0,
        (true, false) => f32::from(sample) / 256.0 - 128.0,
    };
    [f32::from(l) * 100.0 / lightness, chroma(a), chroma(b)]
}

/// Linear light of sRGB, from Lab of the white point D50 (CIE 15, and the Bradford transform to D65).
fn lab_to_light([l, a, b]: [f32; 3]) -> [f32; 3] {
    const WHITE: [f32; 3] = [0.964_22, 1.0, 0.825_21];
    const MATRIX: [[f32; 3]; 3] =
        [[3.133_856, -1.616_867, -0.490_615], [-0.978_768, 1.916_142, 0.033_454], [0.071_945, -0.228_991, 1.405_243]];
    let y = (l + 16.0) / 116.0;
    let cubed = |f: f32| if f > 6.0 / 29.0 { f * f * f } else { (f - 4.0 / 29.0) * (108.0 / 841.0) };
    let xyz = [y + a / 500.0, y, y - b / 200.0].map(cubed);
    MATRIX.map(|row| (0..3).map(|at| row[at] * xyz[at] * WHITE[at]).sum())
}

/// The sRGB values of 65536 levels of light (IEC 61966-2-1).
static ENCODED: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let encode = |light: f32| match light {
        ..=0.003_130_8 => light * 12.92,
        _ => 1.055 * light.powf(1.0 / 2.4) - 0.055,
    };
    (0..=u16::MAX).map(|level| (encode(f32::from(level) / 65535.0) * 65535.0 + 0.5) as u16).collect()
});

fn encoded(light: f32) -> u16 {
    ENCODED[usize::from((light * 65535.0 + 0.5) as u16)]
}
