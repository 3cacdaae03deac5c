//! What other standards note about a picture in application segments: JFIF, Exif, ICC profiles, Adobe.

const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const APP14: u8 = 0xee;

/// The largest profile that is kept; those of printers have up to 3 MB.
const PROFILE_BYTES: usize = 4 << 20;

/// How many parts a profile may have: their number is a byte.
const PROFILE_PARTS: usize = 255;

/// The notes that matter here.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Whether a JFIF segment says that three components are YCbCr.
    pub(super) jfif: bool,
    /// Adobe's transform. 0: RGB or CMYK as they are, 1: YCbCr, 2: YCCK.
    pub(super) adobe: Option<u8>,
    pub(super) exif: Option<Vec<u8>>,
    /// The parts of a profile, each with its number, and how many there must be.
    profile: Vec<(u8, u8, Vec<u8>)>,
}

impl Notes {
    /// Reads a segment.
    pub(super) fn read(&mut self, marker: u8, content: &[u8]) {
        match (marker, content) {
            (APP0, [b'J', b'F', b'I', b'F', 0, ..]) => self.jfif = true,
            (APP1, [b'E', b'x', b'i', b'f', 0, _, exif @ ..]) if self.exif.is_none() => self.exif = Some(exif.to_vec()),
            (APP14, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => self.adobe = Some(*transform),
            (APP2, _) => {
                if let Some([number, count, part @ ..]) = content.strip_prefix(b"ICC_PROFILE\0") {
                    self.part(*number, *count, part);
                }
            }
            _ => {}
        }
    }

    fn part(&mut self, number: u8, count: u8, part: &[u8]) {
        if self.profile.len() == PROFILE_PARTS {
            return;
        }
        let known: usize = self.profile.iter().map(|(_, _, part)| part.len()).sum();
        if known + part.len() <= PROFILE_BYTES {
            self.profile.push((number, count, part.to_vec()));
        }
    }

    /// Takes the profile, if all of its parts are there.
    pub(super) fn take_profile(&mut self) -> Option<Vec<u8>> {
        let mut parts = std::mem::take(&mut self.profile);
        parts.sort_by_key(|&(number, ..)| number);
        let count = parts.first()?.1;
        let whole = parts.len() == usize::from(count) && (1..).zip(&parts).all(|(number, part)| part.0 == number);
        whole.then(|| parts.into_iter().flat_map(|(_, _, part)| part).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_parts_without_end_no_more_are_kept_than_a_profile_can_have() {
        let mut notes = Notes::default();
        for number in 0..1000 {
            notes.read(APP2, &[b"ICC_PROFILE\0", [number as u8, 2].as_slice()].concat());
        }
        assert_eq!(notes.profile.len(), PROFILE_PARTS);
        assert_eq!(notes.take_profile(), None);
    }

    #[test]
    fn the_parts_of_a_profile_are_put_together_in_the_order_of_their_numbers() {
        let mut notes = Notes::default();
        for (number, part) in [(2, b"cd"), (1, b"ab")] {
            notes.read(APP2, &[b"ICC_PROFILE\0", [number, 2].as_slice(), part].concat());
        }
        assert_eq!(notes.take_profile().as_deref(), Some(&b"abcd"[..]));
    }
}
