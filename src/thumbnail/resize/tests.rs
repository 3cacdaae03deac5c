//! Comparison with another Lanczos implementation, all depths, and shrunk planes.

use image::imageops::{FilterType, resize};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::*;
use crate::plan::Plan;
use crate::raster::{Depth, Model};
use crate::spec::Spec;

fn header(width: usize, height: usize, model: Model, depth: Depth) -> Header {
    let orientation = Orientation::NoTransforms;
    Header { width, height, model, depth, premultiplied: false, icc: None, orientation }
}

fn cover(width: usize, height: usize, depth: Depth, bytes: &[u8], (wide, tall): (u32, u32)) -> Vec<f32> {
    let header = header(width, height, Model::Rgb, depth);
    let spec = Spec { width: wide, height: tall, ..Spec::default() };
    let plan = Plan::new(&spec, width, height, header.orientation);
    let plane = Plane { width, height, x_step: 1.0, y_step: 1.0, channels: 3 };
    let mut resize = Resize::new(&header, &[plane], &[vec![(plan.horizontal, plan.vertical)]]);
    bytes.chunks_exact(width * 3 * depth.bytes()).for_each(|row| resize.row(0, row));
    resize.finish().unwrap().remove(0).remove(0).samples
}

fn drawn(width: usize, height: usize) -> RgbImage {
    RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let edge = if (x / 7 + y / 11) % 2 == 0 { 200 } else { 30 };
        image::Rgb([edge, (x * 5 % 256) as u8, (x * y % 251) as u8])
    })
}

fn reference(source: &RgbImage) -> Vec<f32> {
    let wide = DynamicImage::from(source.clone()).to_rgb32f();
    resize(&wide, 300, 300, FilterType::Lanczos3).into_raw().iter().map(|sample| sample.clamp(0.0, 1.0)).collect()
}

#[test]
fn the_result_matches_another_lanczos_implementation() {
    for side in [1, 2, 40, 299, 300, 301, 731, 1199] {
        let source = drawn(side, side);
        let reference = reference(&source);
        let resized = cover(side, side, Depth::U8, source.as_raw(), (300, 300));
        let errors = resized.iter().zip(&reference).map(|(is, other)| (is - other).abs());
        let max_error = errors.fold(0.0, f32::max) * 255.0;
        assert!(max_error < 1.0, "{side}: {max_error}");
    }
}

#[test]
fn box_averaging_changes_little_and_keeps_constant_channels() {
    for side in [1201, 1799, 2725] {
        let source = RgbImage::from_fn(side, side, |x, y| {
            let wave = |at: u32, period: f32| (128.0 + 100.0 * (at as f32 / period).sin()) as u8;
            image::Rgb([wave(x, 37.0), wave(x + y, 59.0), 77])
        });
        let resized = cover(side as usize, side as usize, Depth::U8, source.as_raw(), (300, 300));
        let errors = resized.iter().zip(reference(&source)).map(|(is, other)| f64::from(is - other).powi(2));
        let psnr = -10.0 * (errors.sum::<f64>() / resized.len() as f64).log10();
        assert!(psnr > 45.0, "{side}: {psnr}");
        assert!(resized.iter().skip(2).step_by(3).all(|sample| (sample * 255.0 - 77.0).abs() < 0.01));
    }
}

#[test]
fn all_depths_give_the_same_result() {
    for size in [(30, 20), (7, 5)] {
        let source = drawn(70, 50).into_raw();
        let wide: Vec<u8> = source.iter().flat_map(|&byte| (u16::from(byte) * 257).to_ne_bytes()).collect();
        let float: Vec<u8> = source.iter().flat_map(|&byte| (f32::from(byte) / 255.0).to_ne_bytes()).collect();
        let [one, two, three] = [(Depth::U8, source), (Depth::U16, wide), (Depth::F32, float)]
            .map(|(depth, bytes)| cover(70, 50, depth, &bytes, size));
        let near = |other: &[f32]| one.iter().zip(other).all(|(one, other)| (one - other).abs() < 1e-5);
        assert!(near(&two) && near(&three));
    }
}

#[test]
fn both_sides_are_cropped_equally() {
    // Thirds of red, green and blue: the centred square covers the green third and half a pixel of its neighbours.
    let source =
        RgbImage::from_fn(301, 100, |x, _| image::Rgb([[255, 0, 0], [0, 255, 0], [0, 0, 255]][(x / 101) as usize]));
    let resized = cover(301, 100, Depth::U8, source.as_raw(), (50, 50));
    let row = &resized[..150];
    let (red, blue): (f32, f32) = (row.iter().step_by(3).sum(), row.iter().skip(2).step_by(3).sum());
    assert!(red < 0.5 && blue < 0.5, "{red} {blue}");
}

#[test]
fn a_subsampled_plane_is_aligned_with_the_full_plane() {
    let header = header(100, 80, Model::YCbCr, Depth::U8);
    let plan = Plan::new(&Spec { width: 20, height: 20, ..Spec::default() }, 100, 80, header.orientation);
    let ramp = |step: usize| -> Vec<Vec<u8>> {
        let value = |x: usize, y: usize| ((2 * x + 1) * step / 2 + (2 * y + 1) * step / 4) as u8;
        (0..80 / step).map(|y| (0..100 / step).map(|x| value(x, y)).collect()).collect()
    };
    let plane = |step: usize| {
        let pixels = step as f64;
        Plane { width: 100 / step, height: 80 / step, x_step: pixels, y_step: pixels, channels: 1 }
    };
    let planes = [1, 2, 4].map(plane);
    let mut resize = Resize::new(&header, &planes, &[1, 2, 4].map(|_| vec![(plan.horizontal, plan.vertical)]));
    for (index, step) in [1, 2, 4].into_iter().enumerate() {
        ramp(step).iter().for_each(|row| resize.row(index, row));
    }
    let [full, half, quarter] = resize.finish().unwrap().remove(0).try_into().unwrap();
    for other in [half, quarter] {
        // The edges differ, because taps beyond them are dropped.
        let inner = (2..18).flat_map(|y| (2..18).map(move |x| y * 20 + x));
        assert!(inner.into_iter().all(|at| (full.samples[at] - other.samples[at]).abs() < 1.5 / 255.0));
    }
}
