//! EXIF orientation (CIPA DC-008, tag 274): reads it and rotates pixels upright.

use image::metadata::Orientation;

/// The orientation in an EXIF block; none if the block is missing or malformed.
pub(super) fn from_exif(exif: Option<&[u8]>) -> Orientation {
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// Whether width and height are swapped.
pub(super) fn swaps(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH)
}

/// Whether the stored columns and the stored rows are in reverse order of the upright ones.
pub(super) fn mirrored(orientation: Orientation) -> (bool, bool) {
    use Orientation::{FlipHorizontal, FlipVertical, Rotate90, Rotate180, Rotate270, Rotate270FlipH};
    let columns = matches!(orientation, FlipHorizontal | Rotate180 | Rotate270FlipH | Rotate270);
    let rows = matches!(orientation, FlipVertical | Rotate180 | Rotate270FlipH | Rotate90);
    (columns, rows)
}

/// Rotates and mirrors rows of `width` pixels upright.
pub(super) fn upright<T: Copy>(pixels: Vec<T>, width: usize, orientation: Orientation) -> Vec<T> {
    if orientation == Orientation::NoTransforms {
        return pixels;
    }
    let height = pixels.len() / width;
    let (columns, rows) = mirrored(orientation);
    let column = |x: usize| if columns { width - 1 - x } else { x };
    let row = |y: usize| if rows { height - 1 - y } else { y };
    match swaps(orientation) {
        true => (0..width)
            .flat_map(|x| (0..height).map(move |y| (x, y)))
            .map(|(x, y)| pixels[row(y) * width + column(x)])
            .collect(),
        false => (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| pixels[row(y) * width + column(x)])
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The letter F in three by five pixels, stored with EXIF orientation `value`.
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

    #[test]
    fn all_eight_orientations_become_upright() {
        for value in 1..=8 {
            let rows: Vec<&str> = stored(value).into_iter().filter(|row| !row.is_empty()).collect();
            let orientation = Orientation::from_exif(value).unwrap();
            assert_eq!(swaps(orientation), rows.len() == 3, "EXIF orientation {value}");
            let rotated = upright(rows.concat().into_bytes(), rows[0].len(), orientation);
            assert_eq!(rotated, stored(1).concat().into_bytes(), "EXIF orientation {value}");
        }
    }

    #[test]
    fn a_malformed_block_is_ignored() {
        for exif in
            [None, Some(&b""[..]), Some(b"Exif\0\0"), Some(b"II*\0\xff\xff\xff\xff"), Some(b"MM\0*\0\0\0\x08\xff\xff")]
        {
            assert_eq!(from_exif(exif), Orientation::NoTransforms);
        }
    }
}
