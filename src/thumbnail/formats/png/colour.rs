//! The colour space of a PNG (PNG specification, third edition, 4.3): cICP counts before iCCP, iCCP
//! before sRGB, and sRGB before gAMA and cHRM. Chunks that cannot be applied are ignored. Where the specification
//! leaves a choice, the result is that of Chromium.

use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, MatrixCoefficients, ToneReprCurve, TransferCharacteristics, XyY,
    Xyzd,
};
use png::{BitDepth, CodingIndependentCodePoints, ColorType, Info, ScaledFloat, SourceChromaticities};

use super::tone_curve::ToneCurve;
use crate::profile;
use crate::raster::{Depth, Model};

/// The colour space of an image.
#[derive(Default)]
pub(super) struct ColourSpace {
    /// The profile of the emitted samples; `None` for sRGB.
    pub(super) icc: Option<Vec<u8>>,
    /// The conversion of the samples before they are emitted.
    pub(super) curve: Option<ToneCurve>,
}

/// The colour space of an image with samples of this depth.
pub(super) fn space(info: &Info, model: Model, depth: Depth) -> ColourSpace {
    from_chunks(info, model, depth).unwrap_or_default()
}

/// `None` for sRGB.
fn from_chunks(info: &Info, model: Model, depth: Depth) -> Option<ColourSpace> {
    if info.color_type == ColorType::Grayscale && info.bit_depth == BitDepth::One {
        // Black and white have the same values in all colour spaces, but their mean has not.
        return None;
    }
    if let Some(described) = info.coding_independent_code_points.as_ref().and_then(from_code_points) {
        return described.space(model, depth);
    }
    if let Some(icc) = info.icc_profile.as_deref().filter(|icc| profile::applies(model, icc)) {
        return Some(ColourSpace { icc: Some(icc.to_vec()), curve: None });
    }
    if info.srgb.is_some() {
        return None;
    }
    from_gamma(info.gama_chunk?, info.chrm_chunk.as_ref())?.space(model, depth)
}

/// A colour space that is described by numbers.
struct Described {
    /// With the primaries, and the curve of sRGB.
    profile: ColorProfile,
    /// From values to light, both from 0 to 1.
    light: Box<dyn Fn(f64) -> f64>,
}

impl Described {
    fn space(self, model: Model, depth: Depth) -> Option<ColourSpace> {
        let Self { mut profile, light } = self;
        profile.cicp = None;
        let curve = ToneCurve::new(&light, model, depth);
        if curve.is_none() {
            set_curve(&mut profile, light);
        }
        let icc = profile.encode().ok()?;
        Some(ColourSpace { icc: profile::changes_colours(model, &icc).then_some(icc), curve })
    }
}

/// The code points of ITU-T H.273; `None` for those that Chromium does not know.
fn from_code_points(points: &CodingIndependentCodePoints) -> Option<Described> {
    let light = Box::new(transfer(points.transfer_function)?);
    let color_primaries = match points.color_primaries {
        known @ (1 | 4..=12 | 22) => CicpColorPrimaries::try_from(known).ok()?,
        _ => return None,
    };
    if !points.is_video_full_range_image {
        return None;
    }
    let mut profile = ColorProfile::new_from_cicp(CicpProfile {
        color_primaries,
        transfer_characteristics: TransferCharacteristics::Srgb,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    });
    if color_primaries == CicpColorPrimaries::Xyz {
        set_primaries(&mut profile, (1.0 / 3.0, 1.0 / 3.0), [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])?;
    }
    Some(Described { profile, light })
}

/// A gamma, with the primaries of sRGB if the file states none. Primaries without a gamma are ignored.
fn from_gamma(gamma: ScaledFloat, primaries: Option<&SourceChromaticities>) -> Option<Described> {
    /// Gamma of sRGB, approximately.
    const SRGB_GAMMA: f64 = 1.0 / 2.2;
    /// Relative difference up to which a gamma counts as sRGB, as in libpng.
    const TOLERANCE: f64 = 0.05;
    let gamma = f64::from(gamma.into_scaled()) / f64::from(ScaledFloat::SCALING);
    let mut profile = ColorProfile::new_srgb();
    match primaries {
        Some(chunk) => {
            let point = |(x, y): (ScaledFloat, ScaledFloat)| (x.into_value().into(), y.into_value().into());
            set_primaries(&mut profile, point(chunk.white), [chunk.red, chunk.green, chunk.blue].map(point))?;
        }
        None if (gamma / SRGB_GAMMA - 1.0).abs() < TOLERANCE => return None,
        None => {}
    }
    Some(Described { profile, light: Box::new(move |value| value.powf(1.0 / gamma)) })
}

/// Chromaticity coordinates x and y.
type Point = (f64, f64);

/// Sets the white point and the primaries, which can have a y of 0; `None` if they are not a colour space.
fn set_primaries(profile: &mut ColorProfile, white: Point, primaries: [Point; 3]) -> Option<()> {
    let within = |(x, y): &Point| (0.0..=1.0).contains(x) && (0.0..=1.0).contains(y);
    let [red, green, blue] = primaries;
    let area = (green.0 - red.0) * (blue.1 - red.1) - (blue.0 - red.0) * (green.1 - red.1);
    if !primaries.iter().chain([&white]).all(within) || white.1 == 0.0 || area.abs() < 1e-4 {
        return None;
    }
    let [red, green, blue] = primaries.map(|(x, y)| Xyzd { x, y, z: 1.0 - x - y });
    profile.update_rgb_colorimetry_triplet(XyY { x: white.0, y: white.1, yb: 1.0 }, red, green, blue);
    let colorants = [profile.red_colorant, profile.green_colorant, profile.blue_colorant];
    colorants.iter().all(|colorant| (colorant.x + colorant.y + colorant.z).is_finite()).then_some(())
}

/// Sets a curve from values to light.
fn set_curve(profile: &mut ColorProfile, light: impl Fn(f64) -> f64) {
    /// As many values as the conversion distinguishes.
    const ENTRIES: u16 = 1024;
    let light = |entry: u16| light(f64::from(entry) / f64::from(ENTRIES - 1)).clamp(0.0, 1.0);
    let table: Vec<u16> = (0..ENTRIES).map(|entry| (light(entry) * 65_535.0).round() as u16).collect();
    for trc in [&mut profile.red_trc, &mut profile.green_trc, &mut profile.blue_trc] {
        *trc = Some(ToneReprCurve::Lut(table.clone()));
    }
}

/// The curve of a transfer characteristic, from values to light.
fn transfer(characteristic: u8) -> Option<fn(f64) -> f64> {
    Some(match characteristic {
        // Video is shown with the curve of displays (ITU-R BT.1886), not with the inverse of that of cameras.
        1 | 6 | 11 | 14 | 15 => |value| value.powf(2.4),
        4 => |value| value.powf(2.2),
        5 => |value| value.powf(2.8),
        7 => |value| if value < 0.0913 { value / 4.0 } else { ((value + 0.1115) / 1.1115).powf(1.0 / 0.45) },
        8 => |value| value,
        13 => |value| if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) },
        16 => |value| tone_mapped(pq(value)),
        17 => |value| value.powf(2.6) * 52.37 / 48.0,
        18 => |value| tone_mapped(hlg(value)),
        _ => return None,
    })
}

/// Luminance of white in cd/m² (ITU-R BT.2408).
const REFERENCE_WHITE: f64 = 203.0;

/// Luminance in cd/m² that becomes the brightest white.
const PEAK: f64 = 1000.0;

/// The curve of perceptual quantisation (ITU-R BT.2100, table 4), relative to the reference white.
fn pq(value: f64) -> f64 {
    const M1: f64 = 1305.0 / 8192.0;
    const M2: f64 = 2523.0 / 32.0;
    const C1: f64 = 107.0 / 128.0;
    const C2: f64 = 2413.0 / 128.0;
    const C3: f64 = 2392.0 / 128.0;
    let root = value.powf(1.0 / M2);
    10_000.0 / REFERENCE_WHITE * ((root - C1).max(0.0) / (C2 - C3 * root)).powf(1.0 / M1)
}

/// Hybrid log-gamma on a display of [`PEAK`] (ITU-R BT.2100, table 5), relative to the reference white.
fn hlg(value: f64) -> f64 {
    const A: f64 = 0.178_832_77;
    const B: f64 = 0.284_668_92;
    const C: f64 = 0.559_910_73;
    const SYSTEM_GAMMA: f64 = 1.2;
    let scene = if value <= 0.5 { value * value / 3.0 } else { (((value - C) / A).exp() + B) / 12.0 };
    PEAK / REFERENCE_WHITE * scene.powf(SYSTEM_GAMMA)
}

/// Compresses luminance relative to the reference white to the range from 0 to 1. Chromium halves it up to the
/// reference white and compresses highlights, which these curves approximate.
fn tone_mapped(luminance: f64) -> f64 {
    if luminance <= 1.0 { luminance / 2.0 } else { 0.5 + 0.5 * luminance.ln() / (PEAK / REFERENCE_WHITE).ln() }
}
