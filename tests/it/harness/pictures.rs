//! Valid and invalid images of every format.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

/// An image that is unique for its seed.
pub fn picture(seed: u8, format: ImageFormat) -> Vec<u8> {
    encode(RgbImage::from_fn(96, 64, |x, y| Rgb([seed, (x * 2) as u8, (y * 3) as u8])).into(), format)
}

/// A small JPEG.
pub fn jpeg(seed: u8) -> Vec<u8> {
    picture(seed, ImageFormat::Jpeg)
}

/// A PNG whose left half is transparent.
pub fn half_transparent_png() -> Vec<u8> {
    encode(
        RgbaImage::from_fn(64, 64, |x, _| Rgba([200, 30, 30, if x < 32 { 0 } else { 255 }])).into(),
        ImageFormat::Png,
    )
}

/// A JPEG that is stored rotated: red on the left and blue on the right; red is on top when it is upright.
pub fn jpeg_with_exif_orientation_6() -> Vec<u8> {
    let red_and_blue = |x, _| if x < 64 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) };
    let plain = encode(RgbImage::from_fn(128, 128, red_and_blue).into(), ImageFormat::Jpeg);
    // TIFF, big-endian, with one directory of one entry: tag 0x0112 (orientation), type SHORT, one value, 6.
    let tiff =
        [&b"MM\x00\x2a\x00\x00\x00\x08"[..], &[0, 1], &[0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0], &[0, 0, 0, 0]]
            .concat();
    let payload = [&b"Exif\0\0"[..], &tiff].concat();
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    let (start_of_image, rest) = plain.split_at(2);
    [start_of_image, &[0xff, 0xe1], &length, &payload, rest].concat()
}

/// A truncated JPEG with a complete header.
pub fn truncated_jpeg() -> Vec<u8> {
    let whole = jpeg(7);
    whole[..whole.len() * 3 / 4].to_vec()
}

/// A PNG with a valid header and corrupt pixels.
pub fn corrupt_png() -> Vec<u8> {
    let mut bytes = picture(8, ImageFormat::Png);
    let data = bytes.windows(4).position(|window| window == b"IDAT").unwrap();
    bytes[data + 4..].iter_mut().take(64).for_each(|byte| *byte ^= 0x5a);
    bytes
}

/// A PNG header that declares this size, without pixels.
pub fn png_header(width: u32, height: u32) -> Vec<u8> {
    let [width, height] = [width.to_be_bytes(), height.to_be_bytes()];
    let header = [&b"IHDR"[..], &width, &height, &[8, 2, 0, 0, 0]].concat();
    [&b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"[..], &header, &crc(&header).to_be_bytes()].concat()
}

/// A JPEG whose header declares this size.
pub fn jpeg_that_claims(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = jpeg(9);
    let frame = bytes.windows(2).position(|window| matches!(window, [0xff, 0xc0..=0xc2])).unwrap();
    bytes[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    bytes[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    bytes
}

fn encode(picture: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// CRC-32 as in PNG.
fn crc(bytes: &[u8]) -> u32 {
    let shift = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shift(crc)))
}
