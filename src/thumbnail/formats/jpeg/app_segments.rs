//! Metadata in application segments: JFIF, Exif, ICC profiles, Adobe.

const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const APP14: u8 = 0xee;

/// Length of the payload of a JFIF segment without a thumbnail; libjpeg ignores shorter ones.
const JFIF_BYTES: usize = 14;

/// The metadata that affects decoding or colours.
#[derive(Debug, Default)]
pub(super) struct Metadata {
    /// Whether there is a JFIF segment, which declares three components as YCbCr.
    pub(super) jfif: bool,
    /// Adobe's transform flag. 0: RGB or CMYK unchanged, 1: YCbCr, 2: YCCK.
    pub(super) adobe: Option<u8>,
    /// The first block that is not empty.
    pub(super) exif: Option<Vec<u8>>,
    profile: Profile,
}

impl Metadata {
    /// Reads a segment.
    pub(super) fn read(&mut self, marker: u8, payload: &[u8]) {
        match (marker, payload) {
            (APP0, [b'J', b'F', b'I', b'F', 0, ..]) if payload.len() >= JFIF_BYTES => self.jfif = true,
            (APP1, [b'E', b'x', b'i', b'f', 0, _, exif @ ..]) if self.exif.is_none() && !exif.is_empty() => {
                self.exif = Some(exif.to_vec());
            }
            (APP14, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => self.adobe = Some(*transform),
            (APP2, _) => {
                if let Some([number, count, chunk @ ..]) = payload.strip_prefix(b"ICC_PROFILE\0") {
                    self.profile.add(*number, *count, chunk);
                }
            }
            _ => {}
        }
    }

    /// Takes the profile, if all of its chunks are present.
    pub(super) fn take_profile(&mut self) -> Option<Vec<u8>> {
        match std::mem::take(&mut self.profile) {
            Profile::Complete(profile) => Some(profile),
            Profile::Missing | Profile::Partial(_) | Profile::Invalid => None,
        }
    }
}

/// An ICC profile in chunks of a segment each, with number and count (ICC.1, B.4); at most 16 MiB, since both are
/// bytes. As in Chromium, reading stops when all chunks are there: later ones, such as those of a second copy, are
/// ignored. Contradictory ones before that make it invalid.
#[derive(Debug, Default)]
enum Profile {
    #[default]
    Missing,
    /// The chunks by number.
    Partial(Vec<Option<Vec<u8>>>),
    Complete(Vec<u8>),
    Invalid,
}

impl Profile {
    fn add(&mut self, number: u8, count: u8, chunk: &[u8]) {
        if chunk.is_empty() || matches!(self, Self::Complete(_) | Self::Invalid) {
            return;
        }
        let mut chunks = match std::mem::replace(self, Self::Invalid) {
            Self::Partial(chunks) => chunks,
            _ => vec![None; count.into()],
        };
        let consistent = chunks.len() == usize::from(count);
        let slot = usize::from(number).checked_sub(1).and_then(|index| chunks.get_mut(index));
        let Some(slot @ None) = slot.filter(|_| consistent) else { return };
        *slot = Some(chunk.to_vec());
        *self = match chunks.iter().all(Option::is_some) {
            true => Self::Complete(chunks.into_iter().flatten().flatten().collect()),
            false => Self::Partial(chunks),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The profile of segments with these numbers, counts and data.
    fn profile(chunks: &[(u8, u8, &[u8])]) -> Option<Vec<u8>> {
        let mut metadata = Metadata::default();
        for (number, count, chunk) in chunks {
            metadata.read(APP2, &[b"ICC_PROFILE\0", [*number, *count].as_slice(), chunk].concat());
        }
        metadata.take_profile()
    }

    #[test]
    fn profile_chunks_are_joined_in_the_order_of_their_numbers() {
        assert_eq!(profile(&[(2, 2, b"cd"), (1, 2, b"ab")]).as_deref(), Some(&b"abcd"[..]));
    }

    #[test]
    fn the_first_complete_profile_counts() {
        for chunks in [
            &[(1, 1, &b"ab"[..]), (1, 1, b"ab")][..],
            &[(1, 1, b"ab"), (1, 1, b"cd"), (7, 9, b"ef")],
            &[(1, 2, b"a"), (2, 2, b"b"), (1, 2, b"a"), (2, 2, b"b")],
            &[(1, 1, b""), (1, 1, b"ab")],
        ] {
            assert_eq!(profile(chunks).as_deref(), Some(&b"ab"[..]), "{chunks:?}");
        }
    }

    #[test]
    fn an_incomplete_or_contradictory_profile_is_ignored() {
        for chunks in [
            &[(1, 2, &b"a"[..])][..],
            &[(1, 2, b"a"), (1, 2, b"a"), (2, 2, b"b")],
            &[(1, 2, b"a"), (2, 3, b"b")],
            &[(0, 1, b"a"), (1, 1, b"b")],
            &[(1, 0, b"a")],
            &[(2, 1, b"a")],
        ] {
            assert_eq!(profile(chunks), None, "{chunks:?}");
        }
    }

    #[test]
    fn a_profile_can_have_as_many_chunks_as_a_byte_can_count() {
        let chunk = vec![7; 65_519];
        let chunks: Vec<(u8, u8, &[u8])> = (1..=255).map(|number| (number, 255, &chunk[..])).collect();
        assert_eq!(profile(&chunks).map(|profile| profile.len()), Some(255 * chunk.len()));
    }

    #[test]
    fn a_short_jfif_segment_and_an_empty_exif_block_are_ignored() {
        let mut metadata = Metadata::default();
        metadata.read(APP0, b"JFIF\0\x01\x01");
        metadata.read(APP1, b"Exif\0\0");
        metadata.read(APP1, b"Exif\0\0first");
        metadata.read(APP1, b"Exif\0\0second");
        assert_eq!((metadata.jfif, metadata.exif.as_deref()), (false, Some(&b"first"[..])));
        metadata.read(APP0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
        assert!(metadata.jfif);
    }
}
