//! Embedded ICC profiles: whether they change the colours, and conversion to sRGB.

use std::panic::{AssertUnwindSafe, catch_unwind};

use moxcms::{
    ColorProfile, DataColorSpace, Layout, ParsingOptions, RenderingIntent, ToneReprCurve, TransformOptions, Xyzd,
};

use super::raster::{Model, to_u8};

/// The largest profile that is applied, slightly above the largest profile in a JPEG (255 x 65,519 bytes). Profiles of
/// printers have up to 3 MB.
pub(super) const MAX_PROFILE_BYTES: usize = 16 << 20;

/// Whether the profile can be read and belongs to this model.
pub(super) fn applies(model: Model, icc: &[u8]) -> bool {
    profile(model, icc).is_some()
}

/// Whether the profile changes pixels of this model: not if it is broken, belongs to another model, or is sRGB, as in
/// most photos.
pub(super) fn changes_colours(model: Model, icc: &[u8]) -> bool {
    profile(model, icc).is_some_and(|profile| !is_srgb(&profile))
}

/// Precision of the conversion in bits: results have 8, and building tables takes longer than converting the pixels.
const BITS: u32 = 10;

/// Converts pixels from 0 to 1, without alpha. `None` if the profile cannot be applied.
pub(super) fn convert(samples: &[f32], model: Model, icc: &[u8]) -> Option<Vec<[u8; 3]>> {
    let max = ((1 << BITS) - 1) as f32;
    let profile = profile(model, icc)?;
    let (layout, channels) = match profile.color_space {
        DataColorSpace::Gray => (Layout::Gray, 1),
        DataColorSpace::Cmyk => (Layout::Rgba, 4),
        _ => (Layout::Rgb, 3),
    };
    // Browsers apply RGB profiles to grey pixels, too: each channel is the grey value.
    let stored = if space(model) == DataColorSpace::Gray { 1 } else { channels };
    let pixels = samples.chunks_exact(model.channels());
    let colours = pixels.flat_map(|pixel| pixel[..stored].iter().cycle().take(channels));
    let source: Vec<u16> = colours.map(|sample| (sample * max + 0.5) as u16).collect();
    let mut target = vec![0_u16; source.len() / channels * 3];
    let converted = catch_unwind(AssertUnwindSafe(|| {
        let rendering_intent = intent(model, &profile);
        let options = TransformOptions { prefer_fixed_point: false, rendering_intent, ..TransformOptions::default() };
        let transform = profile.create_transform_10bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options).ok()?;
        transform.transform(&source, &mut target).ok()?;
        Some(target)
    }));
    let target = converted.ok().flatten()?;
    Some(target.as_chunks::<3>().0.iter().map(|rgb| rgb.map(|sample| to_u8(f32::from(sample) / max))).collect())
}

/// CMYK JPEG, which browsers show, is converted with the colorimetric table. Chromium reads the perceptual one, but shows
/// lighter shadows than this has: with four profiles of Adobe, cells of images were up to 14 levels of 255 from Chromium
/// instead of 41. Other formats are converted as in libvips, with the perceptual table.
fn intent(model: Model, profile: &ColorProfile) -> RenderingIntent {
    let prefers_colorimetric = matches!(model, Model::Cmyk { inverted: true } | Model::Ycck);
    match (&profile.lut_a_to_b_perceptual, &profile.lut_a_to_b_colorimetric) {
        (_, Some(_)) if prefers_colorimetric => RenderingIntent::RelativeColorimetric,
        (None, Some(_)) => RenderingIntent::RelativeColorimetric,
        _ => RenderingIntent::Perceptual,
    }
}

fn space(model: Model) -> DataColorSpace {
    match model {
        Model::Grey | Model::GreyAlpha => DataColorSpace::Gray,
        Model::Rgb | Model::Rgba | Model::YCbCr => DataColorSpace::Rgb,
        Model::Cmyk { .. } | Model::CmykAlpha | Model::Ycck => DataColorSpace::Cmyk,
    }
}

fn profile(model: Model, icc: &[u8]) -> Option<ColorProfile> {
    let (space, profile) = (space(model), read(icc)?);
    let applies =
        profile.color_space == space || space == DataColorSpace::Gray && profile.color_space == DataColorSpace::Rgb;
    applies.then_some(profile)
}

fn read(icc: &[u8]) -> Option<ColorProfile> {
    let options = ParsingOptions { max_profile_size: MAX_PROFILE_BYTES, ..ParsingOptions::default() };
    catch_unwind(|| ColorProfile::new_from_slice_with_options(icc, options).ok()).ok().flatten()
}

/// Whether primaries and curves match sRGB within one level of 8 bits.
fn is_srgb(profile: &ColorProfile) -> bool {
    let srgb = ColorProfile::new_srgb();
    let near = |one: Xyzd, other: Xyzd| {
        [one.x - other.x, one.y - other.y, one.z - other.z].iter().all(|difference| difference.abs() < 0.0015)
    };
    let curves = [&profile.red_trc, &profile.green_trc, &profile.blue_trc];
    profile.color_space == DataColorSpace::Rgb
        && profile.lut_a_to_b_perceptual.is_none()
        && profile.lut_a_to_b_colorimetric.is_none()
        && profile.cicp.is_none()
        && near(profile.red_colorant, srgb.red_colorant)
        && near(profile.green_colorant, srgb.green_colorant)
        && near(profile.blue_colorant, srgb.blue_colorant)
        && curves.iter().all(|curve| curve.as_ref().is_some_and(is_srgb_curve))
}

fn is_srgb_curve(curve: &ToneReprCurve) -> bool {
    let is_near = |x: f64| linear(curve, x).is_some_and(|y| (srgb_encoded(y) - x).abs() < 0.004);
    (0..=64).map(|at| f64::from(at) / 64.0).all(is_near)
}

/// The value in sRGB of light, both from 0 to 1 (IEC 61966-2-1).
pub(super) fn srgb_encoded(light: f64) -> f64 {
    if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 }
}

/// Applies a curve to a value from 0 to 1 (ICC.1, 10.6 and 10.18).
fn linear(curve: &ToneReprCurve, x: f64) -> Option<f64> {
    match curve {
        ToneReprCurve::Lut(table) if table.len() > 1 => {
            let place = x * (table.len() - 1) as f64;
            let (low, high) = (f64::from(table[place as usize]), f64::from(table[place.ceil() as usize]));
            Some((low + (high - low) * place.fract()) / 65535.0)
        }
        // A pure power curve is close to sRGB, but not close enough.
        ToneReprCurve::Lut(_) => None,
        ToneReprCurve::Parametric(parameters) => {
            let [power, scale, shift, slope, limit] = *parameters.first_chunk()?;
            let [power, scale, shift] = [power, scale, shift].map(f64::from);
            let (above, below) = (parameters.get(5).copied(), parameters.get(6).copied());
            Some(match x >= f64::from(limit) {
                true => (scale * x + shift).powf(power) + f64::from(above.unwrap_or(0.0)),
                false => f64::from(slope) * x + f64::from(below.unwrap_or(0.0)),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;
    use std::path::Path;

    use image::ImageDecoder;
    use image::codecs::jpeg::JpegDecoder;
    use moxcms::{LutStore, LutWarehouse};

    use super::*;

    #[test]
    fn cmyk_of_jpeg_is_converted_with_the_colorimetric_table() {
        let (jpeg, tiff) = (Model::Cmyk { inverted: true }, Model::Cmyk { inverted: false });
        let file = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/cmyk-icc.jpg")).unwrap();
        let icc = JpegDecoder::new(Cursor::new(file)).unwrap().icc_profile().unwrap().unwrap();
        let mut profile = read(&icc).unwrap();
        let pixel = |model, profile: &ColorProfile| {
            convert(&[0.2, 0.4, 0.6, 0.1], model, &profile.encode().unwrap()).unwrap()[0]
        };
        profile.lut_a_to_b_colorimetric = None;
        let perceptual = pixel(tiff, &profile);
        assert_eq!(pixel(jpeg, &profile), perceptual);
        // The same colour everywhere.
        profile.lut_a_to_b_colorimetric = profile.lut_a_to_b_perceptual.clone();
        if let Some(LutWarehouse::Lut(table)) = &mut profile.lut_a_to_b_colorimetric {
            match &mut table.clut_table {
                LutStore::Store8(numbers) => numbers.fill(100),
                LutStore::Store16(numbers) => numbers.fill(30000),
            }
        }
        assert_eq!(pixel(tiff, &profile), perceptual);
        let colorimetric = pixel(jpeg, &profile);
        assert_ne!(colorimetric, perceptual);
        profile.lut_a_to_b_perceptual = None;
        assert_eq!([jpeg, tiff].map(|model| pixel(model, &profile)), [colorimetric; 2]);
    }

    #[test]
    fn an_srgb_profile_changes_nothing() {
        let mut srgb = ColorProfile::new_srgb();
        // Most programs write sRGB without the newer cicp tag.
        srgb.cicp = None;
        assert!(!changes_colours(Model::YCbCr, &srgb.encode().unwrap()));
        let curve = |x: f64| if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) };
        let table: Vec<u16> = (0..1024).map(|at| (curve(f64::from(at) / 1023.0) * 65535.0).round() as u16).collect();
        for trc in [&mut srgb.red_trc, &mut srgb.green_trc, &mut srgb.blue_trc] {
            *trc = Some(ToneReprCurve::Lut(table.clone()));
        }
        assert!(!changes_colours(Model::YCbCr, &srgb.encode().unwrap()));
        assert!(!changes_colours(Model::Grey, &srgb.encode().unwrap()), "another model");
        assert!(!changes_colours(Model::YCbCr, b"no profile"));
    }

    #[test]
    fn other_primaries_or_curves_change_colours() {
        let mut linear = ColorProfile::new_srgb();
        linear.cicp = None;
        linear.green_trc = Some(ToneReprCurve::Lut(vec![0, 65535]));
        let others = [ColorProfile::new_display_p3(), ColorProfile::new_adobe_rgb(), linear];
        assert!(others.iter().all(|other| changes_colours(Model::YCbCr, &other.encode().unwrap())));
        let grey = ColorProfile::new_gray_with_gamma(2.2).encode().unwrap();
        assert!(changes_colours(Model::Grey, &grey));
    }
}
