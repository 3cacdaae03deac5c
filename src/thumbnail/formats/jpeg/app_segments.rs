//! Metadata in application segments: JFIF, Exif, ICC profiles, Adobe.

const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const APP14: u8 = 0xee;

/// The largest profile that is kept; profiles of printers have up to 3 MB.
const MAX_PROFILE_BYTES: usize = 4 << 20;

/// A profile's chunk count is a byte.
const MAX_PROFILE_CHUNKS: usize = 255;

/// The metadata that affects decoding or colours.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// Whether there is a JFIF segment, which declares three components as YCbCr.
    pub(super) jfif: bool,
    /// Adobe's transform flag. 0: RGB or CMYK unchanged, 1: YCbCr, 2: YCCK.
    pub(super) adobe: Option<u8>,
    pub(super) exif: Option<Vec<u8>>,
    /// The profile's chunks: number, chunk count, data.
    profile: Vec<(u8, u8, Vec<u8>)>,
}

impl Metadata {
    /// Reads a segment.
    pub(super) fn read(&mut self, marker: u8, payload: &[u8]) {
        match (marker, payload) {
            (APP0, [b'J', b'F', b'I', b'F', 0, ..]) => self.jfif = true,
            (APP1, [b'E', b'x', b'i', b'f', 0, _, exif @ ..]) if self.exif.is_none() => self.exif = Some(exif.to_vec()),
            (APP14, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => self.adobe = Some(*transform),
            (APP2, _) => {
                if let Some([number, count, chunk @ ..]) = payload.strip_prefix(b"ICC_PROFILE\0") {
                    self.add_profile_chunk(*number, *count, chunk);
                }
            }
            _ => {}
        }
    }

    fn add_profile_chunk(&mut self, number: u8, count: u8, chunk: &[u8]) {
        if self.profile.len() == MAX_PROFILE_CHUNKS {
            return;
        }
        let stored: usize = self.profile.iter().map(|(_, _, chunk)| chunk.len()).sum();
        if stored + chunk.len() <= MAX_PROFILE_BYTES {
            self.profile.push((number, count, chunk.to_vec()));
        }
    }

    /// Takes the profile, if all of its chunks are present.
    pub(super) fn take_profile(&mut self) -> Option<Vec<u8>> {
        let mut chunks = std::mem::take(&mut self.profile);
        chunks.sort_by_key(|&(number, ..)| number);
        let count = chunks.first()?.1;
        let complete =
            chunks.len() == usize::from(count) && (1..).zip(&chunks).all(|(number, chunk)| chunk.0 == number);
        complete.then(|| chunks.into_iter().flat_map(|(_, _, chunk)| chunk).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_profile_chunks_are_kept_than_a_profile_can_have() {
        let mut metadata = Metadata::default();
        for number in 0..1000 {
            metadata.read(APP2, &[b"ICC_PROFILE\0", [number as u8, 2].as_slice()].concat());
        }
        assert_eq!(metadata.profile.len(), MAX_PROFILE_CHUNKS);
        assert_eq!(metadata.take_profile(), None);
    }

    #[test]
    fn profile_chunks_are_joined_in_the_order_of_their_numbers() {
        let mut metadata = Metadata::default();
        for (number, chunk) in [(2, b"cd"), (1, b"ab")] {
            metadata.read(APP2, &[b"ICC_PROFILE\0", [number, 2].as_slice(), chunk].concat());
        }
        assert_eq!(metadata.take_profile().as_deref(), Some(&b"abcd"[..]));
    }
}
