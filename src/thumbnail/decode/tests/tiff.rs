//! TIFF of every cut into strips, tiles and planes.

use std::io::Cursor;

use super::{by_image, fixtures, rows};
use crate::thumbnail::decode::layout;
use crate::thumbnail::{Limits, Spec};

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

/// An uncompressed TIFF of three planes, cut into chunks of this size: tiles, or strips if they are as wide as the page.
fn planar_tiff(planes: &[Vec<u8>; 3], size: (usize, usize), chunk: (usize, usize)) -> Vec<u8> {
    written(planes, size, chunk, (1, 1), |chunk, _| chunk.to_vec())
}

/// The same with another compression and fill order, by what makes a chunk's bytes and of how many it is told.
fn written(
    planes: &[Vec<u8>; 3],
    (width, height): (usize, usize),
    (across, down): (usize, usize),
    (compression, fill_order): (usize, usize),
    compressed: impl Fn(&[u8], usize) -> Vec<u8>,
) -> Vec<u8> {
    let tiled = across != width;
    let mut file = b"II*\0\0\0\0\0".to_vec();
    let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
    for plane in planes {
        for (top, left) in
            (0..height).step_by(down).flat_map(|top| (0..width).step_by(across).map(move |left| (top, left)))
        {
            let rows = if tiled { down } else { down.min(height - top) };
            let start = file.len() as u32;
            let places = (top..top + rows).flat_map(|y| (left..left + across).map(move |x| (y, x)));
            let pixels = places.map(|(y, x)| if y < height && x < width { plane[y * width + x] } else { 99 });
            file.extend(compressed(&pixels.collect::<Vec<u8>>(), offsets.len()));
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
        (259, one(compression)),
        (262, one(2)),
        (266, one(fill_order)),
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
fn where_the_lowest_bit_comes_first_the_bits_are_exchanged() {
    let size = (20, 37);
    let planes = [3, 5, 7].map(|factor| (0..20 * 37).map(|at| (at * factor % 251) as u8).collect::<Vec<u8>>());
    let (expected, ..) = rows(&planar_tiff(&planes, size, (20, 5)), 1.0);
    let exchanged = |chunk: &[u8], _| chunk.iter().map(|byte| byte.reverse_bits()).collect::<Vec<u8>>();
    for chunk in [(20, 5), (16, 16)] {
        let (samples, ..) = rows(&written(&planes, size, chunk, (1, 2), exchanged), 1.0);
        assert!(samples == expected, "{chunk:?}");
    }
}

#[test]
fn strips_that_are_all_of_the_file_again_and_again_are_refused() {
    let planes = [1, 2, 3].map(|colour| vec![colour; 20 * 37]);
    let mut file = written(&planes, (20, 37), (20, 1), (1, 2), |chunk, _| chunk.to_vec());
    let (strips, end) = (3 * 37, file.len() as u32);
    let offsets = 8 + strips * 20;
    for strip in 0..strips {
        let lengths = offsets + 4 * (strips + strip);
        file[lengths..lengths + 4].copy_from_slice(&(end - 8 - 20 * strip as u32).to_le_bytes());
    }
    let limits = Limits { max_pixels: 1 << 20 };
    let refused = crate::thumbnail::variants(&file, &[Spec::default()], &limits).unwrap_err();
    assert!(refused.to_string().contains("damaged"), "{refused}");
}

/// Bytes that are all alike, by LZW (TIFF 6.0, section 13): each code stands for one byte more than the one before.
fn lzw_of_one_colour(bytes: &[u8]) -> Vec<u8> {
    const CLEAR: u64 = 256;
    const END: u64 = 257;
    let (mut codes, mut left, mut longest) = (vec![CLEAR], bytes.len(), 1);
    while left > 0 {
        let run = longest.min(left);
        codes.push(if run == 1 { u64::from(bytes[0]) } else { END + run as u64 - 1 });
        (left, longest) = (left - run, longest + 1);
    }
    assert!(longest < 250, "all codes have nine bits");
    codes.push(END);
    let bits: Vec<u8> = codes.iter().flat_map(|code| (0..9).rev().map(move |bit| (code >> bit & 1) as u8)).collect();
    bits.chunks(8).map(|bits| bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at))).collect()
}

#[test]
fn tiles_by_lzw_may_reach_over_the_edge() {
    for width in 1..80 {
        let size = (width, 20);
        let planes = [99, 7, 200].map(|colour| vec![colour; width * 20]);
        let (expected, ..) = rows(&planar_tiff(&planes, size, (width, 20)), 1.0);
        let compressed = |chunk: &[u8], index: usize| {
            let plane = index / (width.div_ceil(16) * 2);
            lzw_of_one_colour(&vec![planes[plane][0]; chunk.len()])
        };
        let (samples, ..) = rows(&written(&planes, size, (16, 16), (5, 1), compressed), 1.0);
        assert!(samples == expected, "{width}");
    }
}

#[test]
fn strips_of_any_height_are_put_together() {
    let pixels: Vec<u16> = (0..23 * 31 * 3).map(|at| (at * 7919 % 65521) as u16).collect();
    for strip in [1, 4, 30, 31, 100] {
        let mut file = Cursor::new(Vec::new());
        let mut encoder = tiff::encoder::TiffEncoder::new(&mut file).unwrap();
        let mut image = encoder.new_image::<tiff::encoder::colortype::RGB16>(23, 31).unwrap();
        image.rows_per_strip(strip).unwrap();
        image.write_data(&pixels).unwrap();
        let (samples, ..) = rows(&file.into_inner(), 1.0);
        assert!(samples == pixels.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>(), "{strip}");
    }
}
