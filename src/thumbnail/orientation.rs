//! Which way is up, by EXIF (CIPA DC-008, tag 274), and turning a picture so that it is.

use image::metadata::Orientation;

use super::colour::Srgb;

/// The orientation in an EXIF block; a missing or malformed one says nothing.
pub(super) fn from_exif(exif: Option<&[u8]>) -> Orientation {
    // WebP files of some programs carry the prefix that belongs into JPEG only.
    let block = exif.map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    block.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// Turns and mirrors the pixels so that the picture stands upright.
pub(super) fn upright(pixels: Srgb, orientation: Orientation) -> Srgb {
    use Orientation::{
        FlipHorizontal, FlipVertical, NoTransforms, Rotate90, Rotate90FlipH, Rotate180, Rotate270, Rotate270FlipH,
    };
    let (width, height) = (pixels.width, pixels.height);
    let (right, bottom) = (width - 1, height - 1);
    // Where the pixel that belongs at (x, y) stands now.
    let (swapped, from): (bool, &dyn Fn(usize, usize) -> (usize, usize)) = match orientation {
        NoTransforms => return pixels,
        FlipHorizontal => (false, &|x, y| (right - x, y)),
        Rotate180 => (false, &|x, y| (right - x, bottom - y)),
        FlipVertical => (false, &|x, y| (x, bottom - y)),
        Rotate90FlipH => (true, &|x, y| (y, x)),
        Rotate90 => (true, &|x, y| (y, bottom - x)),
        Rotate270FlipH => (true, &|x, y| (right - y, bottom - x)),
        Rotate270 => (true, &|x, y| (right - y, x)),
    };
    let (width, height) = if swapped { (height, width) } else { (width, height) };
    let mut rgba = Vec::with_capacity(pixels.rgba.len());
    for y in 0..height {
        rgba.extend((0..width).map(|x| {
            let (x, y) = from(x, y);
            pixels.rgba[y * pixels.width + x]
        }));
    }
    Srgb { width, height, rgba }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The letter F, of three by five pixels, stored so that EXIF `value` turns it upright.
    fn stored(value: u8) -> [&'static str; 5] {
        match value {
            1 => ["###", "#..", "##.", "#..", "#.."],
            2 => ["###", "..#", ".##", "..#", "..#"],
            3 => ["..#", "..#", ".##", "..#", "###"],
            4 => ["#..", "#..", "##.", "#..", "###"],
            5 => ["#####", "#.#..", "#....", "", ""],
            6 => ["#....", "#.#..", "#####", "", ""],
            7 => ["....#", "..#.#", "#####", "", ""],
            _ => ["#####", "..#.#", "....#", "", ""],
        }
    }

    fn pixels(rows: [&str; 5]) -> Srgb {
        let rows: Vec<&str> = rows.into_iter().filter(|row| !row.is_empty()).collect();
        let rgba = rows.concat().bytes().map(|byte| [byte, 0, 0, 255]).collect();
        Srgb { width: rows[0].len(), height: rows.len(), rgba }
    }

    #[test]
    fn all_eight_orientations_come_out_upright() {
        let upright_f = pixels(stored(1));
        for value in 1..=8 {
            let turned = upright(pixels(stored(value)), Orientation::from_exif(value).unwrap());
            assert_eq!(turned, upright_f, "EXIF orientation {value}");
        }
    }

    #[test]
    fn a_malformed_block_says_nothing() {
        for exif in
            [None, Some(&b""[..]), Some(b"Exif\0\0"), Some(b"II*\0\xff\xff\xff\xff"), Some(b"MM\0*\0\0\0\x08\xff\xff")]
        {
            assert_eq!(from_exif(exif), Orientation::NoTransforms);
        }
    }
}
