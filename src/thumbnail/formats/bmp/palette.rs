//! BMP: the palette.

use super::headers::Headers;

/// RGB by index; black beyond the stored colours, as in browsers.
pub(super) struct Palette(Box<[[u8; 3]; 256]>);

impl Palette {
    pub(super) fn read(file: &[u8], headers: &Headers) -> Self {
        let end = headers.palette.end.min(file.len());
        let stored = file.get(headers.palette.start..end).unwrap_or_default();
        let mut colours = [[0; 3]; 256];
        for (colour, stored) in colours.iter_mut().zip(stored.chunks_exact(headers.colour_bytes)) {
            *colour = [stored[2], stored[1], stored[0]];
        }
        Self(Box::new(colours))
    }

    pub(super) fn colour(&self, index: u8) -> [u8; 3] {
        self.0[usize::from(index)]
    }

    /// Converts indices of 1, 2, 4 or 8 bits, the leftmost in the upper bits of a byte.
    pub(super) fn unpack(&self, packed: &[u8], bits: usize, target: &mut [[u8; 3]]) {
        if bits == 8 {
            target.iter_mut().zip(packed).for_each(|(pixel, &index)| *pixel = self.colour(index));
            return;
        }
        for (pixels, &byte) in target.chunks_mut(8 / bits).zip(packed) {
            for (pixel, shift) in pixels.iter_mut().zip((0..8).step_by(bits).rev()) {
                *pixel = self.colour(byte >> shift & ((1 << bits) - 1));
            }
        }
    }
}
