//! WebP: comparison of libwebp with the decoder of the `image` crate.

use super::super::image_adapter::layout;
use super::super::test_support::{by_image, fixtures, rows};

/// Peak signal-to-noise ratio in decibels.
fn psnr(left: &[u8], right: &[f64]) -> f64 {
    assert_eq!(left.len(), right.len());
    let squares: f64 = left.iter().zip(right).map(|(&left, right)| (f64::from(left) - right).powi(2)).sum();
    10.0 * (255.0 * 255.0 * left.len() as f64 / squares).log10()
}

#[test]
fn a_shrunk_webp_has_the_means_of_its_boxes() {
    let (width, height) = (600, 402);
    let wave = |at: f64| (128.0 + 90.0 * at.sin()) as u8;
    let pixel = |x: f64, y: f64| [wave(x / 9.0), wave(y / 5.0), wave((x + y) / 30.0)];
    let rgb: Vec<u8> = (0..width * height).flat_map(|at| pixel((at % width) as f64, (at / width) as f64)).collect();
    for encoder in [webpx::EncoderConfig::new().quality(90.0), webpx::EncoderConfig::new_lossless()] {
        let bytes = encoder.encode_rgb(&rgb, width as u32, height as u32, webpx::Unstoppable).unwrap();
        let (whole, ..) = rows(&bytes, 1.0);
        // A step of 12 pixels gives boxes of 6x6.
        let (small, plane, _) = rows(&bytes, 12.0);
        assert_eq!((plane.width, plane.height, plane.x_step, plane.y_step), (100, 67, 6.0, 6.0));
        let mean = |at: usize| {
            let (left, top, channel) = (at / 3 % 100 * 6, at / 300 * 6, at % 3);
            let of_box = (0..36).map(|at| whole[((top + at / 6) * width + left + at % 6) * 3 + channel]);
            of_box.map(f64::from).sum::<f64>() / 36.0
        };
        let means: Vec<f64> = (0..small.len()).map(mean).collect();
        assert!(psnr(&small, &means) > 40.0, "{} dB", psnr(&small, &means));
    }
}

#[test]
fn webp_rows_match_another_decoder() {
    for (name, bytes) in fixtures("webp", &["animated"]) {
        let (samples, _, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        let max_error = samples.iter().zip(whole.as_bytes()).map(|(is, other)| is.abs_diff(*other)).max();
        assert!(samples.len() == whole.as_bytes().len() && max_error <= Some(1), "{name}: {max_error:?}");
    }
}
