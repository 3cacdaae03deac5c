//! BMP: every depth, bottom-up and top-down.

use super::super::image_adapter::layout;
use super::super::test_support::{by_image, fixtures, rows};

/// A BMP with an information header of this size.
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
fn bmp_rows_match_a_full_decode() {
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
