//! Conversion from the colour model of an image to sRGB, with its ICC profile or by a default per model.

use super::profile;
use super::raster::{Model, Resized, Srgb, to_u8};

/// Converts to sRGB. A profile that is broken or belongs to another model is ignored.
pub(super) fn to_srgb(pixels: Resized, model: Model, icc: Option<&[u8]>) -> Srgb {
    let Resized { width, height, mut samples } = pixels;
    decode_storage(&mut samples, model);
    let alphas: Vec<u8> = match model.has_alpha() {
        true => {
            samples.iter().skip(model.channels() - 1).step_by(model.channels()).map(|&alpha| to_u8(alpha)).collect()
        }
        false => vec![u8::MAX; width * height],
    };
    let rgb = icc.and_then(|icc| profile::convert(&samples, model, icc)).unwrap_or_else(|| by_default(&samples, model));
    let rgba = rgb.iter().zip(alphas).map(|(&[red, green, blue], alpha)| [red, green, blue, alpha]).collect();
    Srgb { width, height, rgba }
}

/// Reverts storage encodings: YCbCr becomes RGB, YCCK and inverted CMYK become CMYK.
fn decode_storage(samples: &mut [f32], model: Model) {
    match model {
        Model::Grey | Model::GreyAlpha | Model::Rgb | Model::Rgba => {}
        Model::Cmyk { inverted: false } | Model::CmykAlpha => {}
        Model::Cmyk { inverted: true } => samples.iter_mut().for_each(|sample| *sample = 1.0 - *sample),
        Model::YCbCr => samples.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = from_ycbcr(*pixel)),
        Model::Ycck => {
            for pixel in samples.as_chunks_mut::<4>().0 {
                let [y, cb, cr, key] = *pixel;
                // The RGB values are the complement of the stored CMY, which is the complement of ink.
                let [cyan, magenta, yellow] = from_ycbcr([y, cb, cr]);
                *pixel = [cyan, magenta, yellow, 1.0 - key];
            }
        }
    }
}

fn from_ycbcr([y, cb, cr]: [f32; 3]) -> [f32; 3] {
    const MIDDLE: f32 = 128.0 / 255.0;
    let (cb, cr) = (cb - MIDDLE, cr - MIDDLE);
    let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
    rgb.map(|channel| channel.clamp(0.0, 1.0))
}

/// Conversion without a profile: grey and RGB are sRGB. CMYK of JPEG, the only format with [`Model::Ycck`] or inverted
/// CMYK, is multiplied as in browsers; that of TIFF is converted by [`printed`].
fn by_default(samples: &[f32], model: Model) -> Vec<[u8; 3]> {
    let pixels = samples.chunks_exact(model.channels());
    match model {
        Model::Grey | Model::GreyAlpha => pixels.map(|pixel| [to_u8(pixel[0]); 3]).collect(),
        Model::Rgb | Model::Rgba | Model::YCbCr => pixels.map(|pixel| [0, 1, 2].map(|at| to_u8(pixel[at]))).collect(),
        Model::Cmyk { inverted: true } | Model::Ycck => {
            pixels.map(|ink| [0, 1, 2].map(|at| to_u8((1.0 - ink[at]) * (1.0 - ink[3])))).collect()
        }
        Model::Cmyk { inverted: false } | Model::CmykAlpha => {
            pixels.map(|ink| printed([ink[0], ink[1], ink[2], ink[3]]).map(to_u8)).collect()
        }
    }
}

/// The exponent from the amount of an ink to the share of the paper that its dots cover: dots are larger than on plates.
const DOT_GAIN: f32 = 0.82;

/// The exponent from sRGB values to the scale on which the colours of dots are averaged: between sRGB and light, as in
/// the correction of Yule and Nielsen.
const SCALE: f32 = 1.45;

/// The colours of paper and of all overprints of full inks on that scale. Index bits: 8 cyan, 4 magenta, 2 yellow, 1
/// black. Values outside of 0 to 1 are outside of the gamut of sRGB.
///
/// They and the exponents are fitted to the conversion of libvips 8.18, with its built-in profile of offset printing,
/// at 6 levels of each ink: on average 4 of 255 levels apart, at most 15.
const OVERPRINTS: [[f32; 3]; 16] = [
    [1.0, 1.0, 1.0],
    [0.016, 0.006, 0.005],
    [1.104, 0.933, -0.085],
    [0.009, 0.006, 0.012],
    [0.938, 0.010, 0.395],
    [0.020, 0.006, 0.009],
    [0.903, 0.004, 0.012],
    [0.019, 0.005, -0.004],
    [-0.360, 0.505, 0.886],
    [0.009, 0.008, 0.006],
    [-0.218, 0.444, 0.106],
    [0.005, 0.006, -0.014],
    [0.075, 0.014, 0.344],
    [-0.018, -0.005, 0.006],
    [0.057, 0.027, 0.065],
    [-0.012, -0.003, -0.020],
];

/// The Neugebauer equations: random dots determine the share of the paper that each overprint covers.
fn printed(inks: [f32; 4]) -> [f32; 3] {
    let dots = inks.map(|ink| ink.powf(DOT_GAIN));
    let mut mixed = [0.0_f32; 3];
    for (index, overprint) in OVERPRINTS.iter().enumerate() {
        let share = |(bit, dots): (usize, f32)| if index >> (3 - bit) & 1 == 1 { dots } else { 1.0 - dots };
        let covered: f32 = dots.into_iter().enumerate().map(share).product();
        mixed.iter_mut().zip(overprint).for_each(|(channel, full)| *channel += covered * full);
    }
    mixed.map(|channel| channel.clamp(0.0, 1.0).powf(1.0 / SCALE))
}

#[cfg(test)]
mod tests {
    use moxcms::ColorProfile;

    use super::*;

    fn convert(pixel: &[f32], model: Model, icc: Option<&[u8]>) -> [u8; 4] {
        to_srgb(Resized { width: 1, height: 1, samples: pixel.to_vec() }, model, icc).rgba[0]
    }

    fn near(left: [u8; 4], right: [u8; 4]) -> bool {
        left.iter().zip(right).all(|(&left, right)| left.abs_diff(right) <= 1)
    }

    #[test]
    fn a_wide_gamut_profile_increases_saturation_and_keeps_grey_and_alpha() {
        let p3 = ColorProfile::new_display_p3().encode().unwrap();
        // (0.8, 0.4, 0.3) of Display P3 is (0.858, 0.370, 0.268) of sRGB, by CSS Color 4's matrices.
        let converted = convert(&[0.8, 0.4, 0.3, 0.5], Model::Rgba, Some(&p3));
        assert!(near(converted, [219, 94, 68, 128]), "{converted:?}");
        assert!(near(convert(&[0.5, 0.5, 0.5], Model::Rgb, Some(&p3)), [128, 128, 128, 255]));
        let adobe = ColorProfile::new_adobe_rgb().encode().unwrap();
        let converted = convert(&[0.5, 0.5, 0.5], Model::Rgb, Some(&adobe));
        assert!(near(converted, [128, 128, 128, 255]), "{converted:?}");
    }

    #[test]
    fn a_grey_profile_is_applied() {
        let linear = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        assert!(near(convert(&[0.214], Model::Grey, Some(&linear)), [127, 127, 127, 255]));
        assert!(near(convert(&[0.214, 0.5], Model::GreyAlpha, Some(&linear)), [127, 127, 127, 128]));
    }

    #[test]
    fn an_rgb_profile_is_applied_to_grey() {
        let mut linear = ColorProfile::new_srgb();
        linear.cicp = None;
        for curve in [&mut linear.red_trc, &mut linear.green_trc, &mut linear.blue_trc] {
            *curve = Some(moxcms::ToneReprCurve::Lut(Vec::new()));
        }
        let linear = linear.encode().unwrap();
        assert!(near(convert(&[0.214], Model::Grey, Some(&linear)), [127, 127, 127, 255]));
        assert!(near(convert(&[0.214, 0.5], Model::GreyAlpha, Some(&linear)), [127, 127, 127, 128]));
    }

    #[test]
    fn a_broken_profile_or_one_of_another_model_is_ignored() {
        let grey = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        let p3 = ColorProfile::new_display_p3().encode().unwrap();
        for icc in [&b""[..], b"not a profile", &p3[..p3.len() / 2], &grey] {
            assert_eq!(convert(&[0.8, 0.4, 0.2], Model::Rgb, Some(icc)), [204, 102, 51, 255]);
        }
    }

    #[test]
    fn cmyk_of_jpeg_without_a_profile_is_multiplied_as_in_browsers() {
        // Stored are the complements of the inks.
        let adobe = Model::Cmyk { inverted: true };
        assert_eq!(convert(&[1.0, 1.0, 1.0, 1.0], adobe, None), [255, 255, 255, 255]);
        assert_eq!(convert(&[0.0, 1.0, 1.0, 1.0], adobe, None), [0, 255, 255, 255]);
        assert_eq!(convert(&[1.0, 1.0, 1.0, 0.0], adobe, None), [0, 0, 0, 255]);
        assert_eq!(convert(&[0.8, 0.6, 0.4, 0.5], adobe, None), [102, 77, 51, 255]);
        // Luma 0 is no ink.
        assert_eq!(convert(&[0.0, 128.0 / 255.0, 128.0 / 255.0, 1.0], Model::Ycck, None), [255, 255, 255, 255]);
        assert_eq!(convert(&[0.2, 128.0 / 255.0, 128.0 / 255.0, 0.5], Model::Ycck, None), [102, 102, 102, 255]);
    }

    #[test]
    fn cmyk_of_tiff_without_a_profile_is_near_libvips() {
        let cmyk = Model::Cmyk { inverted: false };
        assert_eq!(convert(&[0.0, 0.0, 0.0, 0.0], cmyk, None), [255, 255, 255, 255]);
        // Results of sharp 0.35.5 with libvips 8.18.7.
        let expected = [
            ([0.0, 0.0, 0.0, 1.0], [20, 5, 0]),
            ([0.0, 0.0, 1.0, 0.0], [255, 240, 0]),
            ([0.0, 1.0, 0.0, 0.0], [234, 0, 128]),
            ([0.0, 1.0, 1.0, 0.0], [232, 0, 0]),
            ([1.0, 0.0, 0.0, 0.0], [0, 153, 227]),
            ([1.0, 0.0, 1.0, 0.0], [0, 141, 45]),
            ([1.0, 1.0, 0.0, 0.0], [32, 6, 117]),
            ([1.0, 1.0, 1.0, 0.0], [33, 17, 31]),
            ([1.0, 1.0, 1.0, 1.0], [0, 0, 0]),
            ([0.6, 0.0, 0.0, 0.0], [40, 184, 235]),
            ([0.0, 0.0, 0.0, 0.4], [155, 155, 154]),
            ([0.6, 0.4, 0.0, 0.2], [89, 111, 154]),
        ];
        for (inks, [red, green, blue]) in expected {
            let is = convert(&inks, cmyk, None);
            assert!(is.iter().zip([red, green, blue]).all(|(&is, of)| is.abs_diff(of) <= 15), "{inks:?}: {is:?}");
        }
    }

    #[test]
    fn ycbcr_follows_jfif() {
        let pixel = [76.0 / 255.0, 85.0 / 255.0, 1.0];
        assert!(near(convert(&pixel, Model::YCbCr, None), [254, 0, 0, 255]));
    }
}
