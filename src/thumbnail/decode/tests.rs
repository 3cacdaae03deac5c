//! What comes by rows is what `image` makes of the whole file.

use std::fs;
use std::path::PathBuf;

use ::gif as gif_encoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageReader};

use super::*;
use crate::thumbnail::hostile_tests::png as png_file;
use crate::thumbnail::probe::probe;

const LIMITS: Limits = Limits { max_pixels: 100_000_000 };

/// The rows of a single plane, one after another.
#[derive(Default)]
struct Rows(Vec<u8>);

impl Sink for Rows {
    fn row(&mut self, plane: usize, bytes: &[u8]) {
        assert_eq!(plane, 0);
        self.0.extend_from_slice(bytes);
    }
}

/// All rows at this step, their plane, and their header.
fn rows(bytes: &[u8], step: f64) -> (Vec<u8>, Plane, Header) {
    let probe = probe(Cursor::new(bytes), &LIMITS).unwrap();
    let mut source = open(bytes, &probe, &LIMITS).unwrap();
    let planes = source.shrink(Goal { step, chroma: step });
    let area = Area { across: 0..planes[0].width, down: 0..planes[0].height };
    let mut rows = Rows::default();
    source.read(&[area], &mut rows).unwrap();
    assert_eq!(planes.len(), 1);
    (rows.0, planes[0], source.header().clone())
}

/// The fixtures of a format whose names hold no part that is excepted.
fn fixtures(extension: &str, except: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let names = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    let all = names.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
    let wanted: Vec<_> = all.filter(|(name, _)| !except.iter().any(|part| name.contains(part))).collect();
    assert!(!wanted.is_empty());
    wanted
}

fn by_image(bytes: &[u8]) -> DynamicImage {
    ImageReader::new(Cursor::new(bytes)).with_guessed_format().unwrap().decode().unwrap()
}

#[test]
fn a_png_by_rows_is_that_of_a_full_decode() {
    for (name, bytes) in fixtures("png", &[]) {
        let (samples, plane, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!((plane.width, plane.height), (whole.width() as usize, whole.height() as usize), "{name}");
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        assert!(samples == whole.as_bytes(), "{name}");
    }
}

#[test]
fn a_tiff_by_bands_is_that_of_a_full_decode() {
    // What `image` converts on its way, or does not read.
    for (name, bytes) in fixtures("tiff", &["cmyk", "grey-4", "jpeg", "palette"]) {
        let (samples, plane, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!((plane.width, plane.height), (whole.width() as usize, whole.height() as usize), "{name}");
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        assert!(samples == whole.as_bytes(), "{name}");
    }
}

#[test]
fn a_png_of_any_depth_and_size_comes_as_it_was_put_in() {
    let noise = |at: usize| (at.wrapping_mul(2_654_435_761) >> 24) as u8;
    for (width, height) in [(1, 1), (1, 900), (900, 1), (613, 411)] {
        for color in
            [ExtendedColorType::L8, ExtendedColorType::La16, ExtendedColorType::Rgb8, ExtendedColorType::Rgba16]
        {
            let length = width as usize * height as usize * usize::from(color.bits_per_pixel()) / 8;
            // Noise is stored, and what is flat is packed hundreds of times smaller: both cross the decoder's buffers.
            let samples: Vec<u8> = (0..length).map(|at| if at % 4096 < 2048 { noise(at) } else { 7 }).collect();
            let mut file = Vec::new();
            PngEncoder::new(&mut file).write_image(&samples, width, height, color).unwrap();
            assert!(rows(&file, 1.0).0 == samples, "{color:?} of {width}x{height}");
        }
    }
}

/// An interlaced PNG of RGBA with 16 bits a channel, whose pixels are not compressed.
fn interlaced_png(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut data = Vec::new();
    for [x, y, across, down] in
        [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]]
    {
        for y in (y..height).step_by(down).filter(|_| x < width) {
            data.push(0);
            (x..width).step_by(across).for_each(|x| data.extend(&pixels[(y * width + x) * 8..][..8]));
        }
    }
    let mut stored = b"x\x01".to_vec();
    for block in data.chunks(65_535) {
        let length = block.len() as u16;
        stored.extend([&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), block].concat());
    }
    // An empty last block, and a checksum that is not looked at.
    stored.extend(b"\x01\0\0\xff\xff\0\0\0\0");
    let size = [(width as u32).to_be_bytes(), (height as u32).to_be_bytes()].concat();
    png_file(&[(b"IHDR", &[&size[..], &[16, 6, 0, 0, 1]].concat()), (b"IDAT", &stored), (b"IEND", b"")])
}

#[test]
fn an_interlaced_png_is_put_together_or_averaged() {
    for (width, height) in [(1, 1), (2, 3), (5, 40), (97, 61)] {
        let pixels: Vec<u8> = (0..width * height * 8).map(|at| (at * at * 31 % 253) as u8).collect();
        let file = interlaced_png(&pixels, width, height);
        let (whole, ..) = rows(&file, 1.0);
        let native: Vec<u16> = pixels.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect();
        assert!(whole == native.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>());
        // A step of 6 pixels leaves two means for each: boxes of 3x3, of which the last ones may be cut.
        let (means, plane, header) = rows(&file, 6.0);
        assert_eq!((plane.width, plane.height), (((width + 1) / 3).max(1), ((height + 1) / 3).max(1)));
        assert_eq!((header.depth, header.premultiplied), (Depth::F32, true));
        for (at, mean) in means.as_chunks::<16>().0.iter().enumerate() {
            let (left, top) = (at % plane.width * 3, at / plane.width * 3);
            let places = (top..(top + 3).min(height)).flat_map(|y| (left..(left + 3).min(width)).map(move |x| (x, y)));
            let inside: Vec<_> = places.map(|(x, y)| &native[(y * width + x) * 4..][..4]).collect();
            let number = |number: u16| f32::from(number) / 65535.0;
            let sum: f32 = inside.iter().map(|pixel| number(pixel[1]) * number(pixel[3])).sum();
            let green = f32::from_ne_bytes([mean[4], mean[5], mean[6], mean[7]]);
            assert!((green - sum / inside.len() as f32).abs() < 1e-5);
        }
    }
}

/// An uncompressed TIFF of three planes, cut into chunks of this size: tiles, or strips if they are as wide as the page.
fn planar_tiff(planes: &[Vec<u8>; 3], (width, height): (usize, usize), (across, down): (usize, usize)) -> Vec<u8> {
    let tiled = across != width;
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
    for plane in planes {
        for (top, left) in
            (0..height).step_by(down).flat_map(|top| (0..width).step_by(across).map(move |left| (top, left)))
        {
            let rows = if tiled { down } else { down.min(height - top) };
            let start = file.len() as u32;
            for (y, x) in (top..top + rows).flat_map(|y| (left..left + across).map(move |x| (y, x))) {
                file.push(if y < height && x < width { plane[y * width + x] } else { 99 });
            }
            offsets.push(start);
            lengths.push(file.len() as u32 - start);
        }
    }
    let mut list = |numbers: &[u32]| {
        let start = file.len() as u32;
        file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        (numbers.len() as u32, start)
    };
    let (offsets, lengths) = (list(&offsets), list(&lengths));
    let one = |value: usize| (1, value as u32);
    let mut tags = vec![
        (256, one(width)),
        (257, one(height)),
        (258, one(8)),
        (259, one(1)),
        (262, one(2)),
        (277, one(3)),
        (284, one(2)),
    ];
    match tiled {
        true => tags.extend([(322, one(across)), (323, one(down)), (324, offsets), (325, lengths)]),
        false => tags.extend([(273, offsets), (278, one(down)), (279, lengths)]),
    }
    tags.sort_unstable();
    let directory = (file.len() as u32).to_le_bytes();
    file[4..8].copy_from_slice(&directory);
    file.extend((tags.len() as u16).to_le_bytes());
    for (tag, (count, value)) in tags {
        file.extend(u16::to_le_bytes(tag).into_iter().chain([4, 0]));
        file.extend([u32::to_le_bytes(count), u32::to_le_bytes(value)].concat());
    }
    file.extend([0; 4]);
    file
}

#[test]
fn planes_of_any_cut_are_put_together() {
    let size = (20, 37);
    let planes = [3, 5, 7].map(|factor| (0..20 * 37).map(|at| (at * factor % 251) as u8).collect::<Vec<u8>>());
    let expected: Vec<u8> = (0..20 * 37).flat_map(|at| [0, 1, 2].map(|plane| planes[plane][at])).collect();
    for chunk in [(20, 1), (20, 5), (20, 37), (20, 64), (16, 16), (32, 16)] {
        let (samples, ..) = rows(&planar_tiff(&planes, size, chunk), 1.0);
        assert!(samples == expected, "{chunk:?}");
    }
}

#[test]
fn strips_of_any_height_are_put_together() {
    let pixels: Vec<u16> = (0..23 * 31 * 3).map(|at| (at * 7919 % 65521) as u16).collect();
    for strip in [1, 4, 30, 31, 100] {
        let mut file = Cursor::new(Vec::new());
        let mut encoder = ::tiff::encoder::TiffEncoder::new(&mut file).unwrap();
        let mut image = encoder.new_image::<::tiff::encoder::colortype::RGB16>(23, 31).unwrap();
        image.rows_per_strip(strip).unwrap();
        image.write_data(&pixels).unwrap();
        let (samples, ..) = rows(&file.into_inner(), 1.0);
        assert!(samples == pixels.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>(), "{strip}");
    }
}

#[test]
fn a_gif_by_rows_is_that_of_a_full_decode() {
    let files = fixtures("gif", &[]).into_iter().chain(drawn_gifs());
    for (name, bytes) in files {
        let (samples, plane, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes).into_rgba8();
        assert_eq!((plane.width, plane.height), (whole.width() as usize, whole.height() as usize), "{name}");
        let rgba: Vec<u8> = match header.model {
            Model::Rgb => samples.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, u8::MAX]).collect(),
            _ => samples,
        };
        assert!(rgba == whole.into_raw(), "{name}");
    }
}

/// GIFs of 7x5 pixels whose frame lies elsewhere than on the screen, with the palettes of every size; each interlaced, too.
fn drawn_gifs() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for (left, top, width, height) in [(0, 0, 7, 5), (2, 1, 3, 2), (3, 2, 9, 20), (9, 9, 2, 2), (0, 3, 7, 1)] {
        for (colours, interlaced) in [(2, false), (200, true), (256, false), (256, true)] {
            let palette: Vec<u8> = (0..colours * 3).map(|at| (at * 37 % 251) as u8).collect();
            let mut file = Vec::new();
            let mut encoder = gif_encoder::Encoder::new(&mut file, 7, 5, &palette).unwrap();
            let indices: Vec<u8> = (0..width * height).map(|at| (at * 11 % colours) as u8).collect();
            let mut frame = gif_encoder::Frame::from_indexed_pixels(width, height, indices, None);
            (frame.left, frame.top, frame.interlaced) = (left, top, interlaced);
            frame.transparent = (colours == 200).then_some(3);
            encoder.write_frame(&frame).unwrap();
            drop(encoder);
            files.push((format!("{width}x{height} at {left},{top}, {colours} colours, interlaced {interlaced}"), file));
        }
    }
    files
}

/// A bitmap of as many bands as it takes, whose information header has this size.
fn drawn_bmp(information: u32, bits: u16, masks: &[u32], width: usize, height: i32) -> Vec<u8> {
    let colours = if bits > 8 { 0 } else { 4 << bits };
    let offset = 14 + information + if information == 40 { masks.len() as u32 * 4 } else { 0 } + colours;
    let compression = if masks.is_empty() { 0_u32 } else { 3 };
    let mut file = [b"BM\0\0\0\0\0\0\0\0", &offset.to_le_bytes()[..], &information.to_le_bytes()].concat();
    file.extend([&(width as u32).to_le_bytes()[..], &height.to_le_bytes(), &[1, 0], &bits.to_le_bytes()].concat());
    file.extend(compression.to_le_bytes().into_iter().chain([0; 20]));
    file.extend(masks.iter().flat_map(|mask| mask.to_le_bytes()));
    let rows = (width * usize::from(bits)).div_ceil(32) * 4 * height.unsigned_abs() as usize;
    let noise = (0_u32..).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8);
    let length = offset as usize - colours as usize;
    file.resize(length, 0);
    file.extend(noise.take(colours as usize + rows));
    file
}

#[test]
fn a_bmp_by_bands_is_that_of_a_full_decode() {
    let mut files = fixtures("bmp", &[]);
    for height in [700, -700, 1] {
        let rgb565 = [0xf800, 0x07e0, 0x001f];
        let rgba = [0x00ff_0000, 0x0000_ff00, 0x0000_00ff, 0xff00_0000];
        for (information, bits, masks) in
            [(40, 1, &[][..]), (40, 4, &[]), (40, 8, &[]), (40, 16, &[]), (40, 24, &[]), (40, 32, &[])]
        {
            files.push((format!("{bits} bits, {height} rows"), drawn_bmp(information, bits, masks, 331, height)));
        }
        files.push((format!("RGB565, {height} rows"), drawn_bmp(40, 16, &rgb565, 331, height)));
        files.push((format!("RGBA, {height} rows"), drawn_bmp(108, 32, &rgba, 331, height)));
    }
    for (name, bytes) in files {
        let (samples, plane, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!((plane.width, plane.height), (whole.width() as usize, whole.height() as usize), "{name}");
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        assert!(samples == whole.as_bytes(), "{name}");
    }
}

/// How much two pictures differ, in decibels.
#[cfg(feature = "libwebp")]
fn psnr(left: &[u8], right: &[f64]) -> f64 {
    assert_eq!(left.len(), right.len());
    let squares: f64 = left.iter().zip(right).map(|(&left, right)| (f64::from(left) - right).powi(2)).sum();
    10.0 * (255.0 * 255.0 * left.len() as f64 / squares).log10()
}

#[cfg(feature = "libwebp")]
#[test]
fn a_webp_that_is_shrunk_is_the_mean_of_its_boxes() {
    let (width, height) = (600, 402);
    let wave = |at: f64| (128.0 + 90.0 * at.sin()) as u8;
    let pixel = |x: f64, y: f64| [wave(x / 9.0), wave(y / 5.0), wave((x + y) / 30.0)];
    let rgb: Vec<u8> = (0..width * height).flat_map(|at| pixel((at % width) as f64, (at / width) as f64)).collect();
    for encoder in [webpx::EncoderConfig::new().quality(90.0), webpx::EncoderConfig::new_lossless()] {
        let bytes = encoder.encode_rgb(&rgb, width as u32, height as u32, webpx::Unstoppable).unwrap();
        let (whole, ..) = rows(&bytes, 1.0);
        // A step of 12 pixels leaves two samples for each: boxes of 6x6.
        let (small, plane, _) = rows(&bytes, 12.0);
        assert_eq!((plane.width, plane.height, plane.across, plane.down), (100, 67, 6.0, 6.0));
        let mean = |at: usize| {
            let (left, top, channel) = (at / 3 % 100 * 6, at / 300 * 6, at % 3);
            let of_box = (0..36).map(|at| whole[((top + at / 6) * width + left + at % 6) * 3 + channel]);
            of_box.map(f64::from).sum::<f64>() / 36.0
        };
        let means: Vec<f64> = (0..small.len()).map(mean).collect();
        assert!(psnr(&small, &means) > 40.0, "{} dB", psnr(&small, &means));
    }
}

#[cfg(feature = "libwebp")]
#[test]
fn a_webp_is_nearly_that_of_another_decoder() {
    for (name, bytes) in fixtures("webp", &["animated"]) {
        let (samples, _, header) = rows(&bytes, 1.0);
        let whole = by_image(&bytes);
        assert_eq!(layout(whole.color()), Some((header.model, header.depth)), "{name}");
        let furthest = samples.iter().zip(whole.as_bytes()).map(|(is, other)| is.abs_diff(*other)).max();
        assert!(samples.len() == whole.as_bytes().len() && furthest <= Some(1), "{name}: {furthest:?}");
    }
}
