//! ICC profile and EXIF block of a WebP (RFC 9649, 2.7). They count if the flags of the VP8X chunk announce them and
//! the image is not animated, as in Chromium. The first chunk of each kind is used.

use image::metadata::Orientation;

use crate::orientation::from_exif;

const ICC_FLAG: u8 = 0x20;
const EXIF_FLAG: u8 = 0x08;
const ANIMATION_FLAG: u8 = 0x02;

pub(super) fn profile(bytes: &[u8]) -> Option<&[u8]> {
    announced(bytes, ICC_FLAG, b"ICCP")
}

pub(super) fn orientation(bytes: &[u8]) -> Orientation {
    // Some programs write the prefix of JPEG's APP1 segment.
    from_exif(announced(bytes, EXIF_FLAG, b"EXIF").map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)))
}

/// The payload of the first chunk of this name, if its flag is set.
fn announced<'a>(bytes: &'a [u8], flag: u8, wanted: &[u8; 4]) -> Option<&'a [u8]> {
    // The file ends where its header says; later bytes belong to no chunk.
    let (riff, rest) = bytes.split_first_chunk::<12>()?;
    let [_, _, _, _, length @ .., b'W', b'E', b'B', b'P'] = riff else { return None };
    let end = usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_sub(4)?;
    let mut rest = &rest[..end.min(rest.len())];
    let (b"VP8X", &[flags, ..]) = next_chunk(&mut rest)? else { return None };
    if flags & flag == 0 || flags & ANIMATION_FLAG != 0 {
        return None;
    }
    std::iter::from_fn(|| next_chunk(&mut rest)).find(|(name, _)| *name == wanted).map(|(_, payload)| payload)
}

/// Splits off the next chunk: its name and its payload (RFC 9649, 2.3).
fn next_chunk<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8; 4], &'a [u8])> {
    let (name, after) = rest.split_first_chunk::<4>()?;
    let (length, after) = after.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let payload = after.get(..length)?;
    *rest = after.get(length + (length & 1)..).unwrap_or_default();
    Some((name, payload))
}
