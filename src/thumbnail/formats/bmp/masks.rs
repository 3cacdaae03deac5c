//! BMP: bit masks of the channels.

use super::headers::{ALPHA_BIT_FIELDS, number, unsupported};
use crate::error::Error;

/// Whether an information header of this length has fields for masks: those of OS/2 have other fields there.
fn in_header(length: usize) -> bool {
    matches!(length, 52 | 56 | 108 | 124)
}

/// Masks in the header or after it, and their length there.
pub(super) fn stored(
    file: &[u8],
    information: usize,
    length: usize,
    compression: u32,
) -> Result<([u32; 4], usize), Error> {
    let (start, count) = match length {
        52 => (40, 3),
        _ if in_header(length) => (40, 4),
        _ if compression == ALPHA_BIT_FIELDS => (length, 4),
        _ => (length, 3),
    };
    let mut masks = [0; 4];
    for (index, mask) in masks.iter_mut().take(count).enumerate() {
        *mask = number(file, information + start + index * 4)?;
    }
    Ok((masks, if in_header(length) { 0 } else { count * 4 }))
}

/// Masks of pixels without masks of their own. `header` is the header's field for alpha, which counts if it is the mask
/// of other bits.
pub(super) fn default(
    bits: u32,
    length: usize,
    header: impl FnOnce() -> Result<u32, Error>,
) -> Result<[u32; 4], Error> {
    let [red, green, blue] = if bits == 16 { [0x7c00, 0x03e0, 0x001f] } else { [0xff_0000, 0xff00, 0xff] };
    let alpha = if in_header(length) && length > 52 && matches!(bits, 16 | 32) { within(header()?, bits) } else { 0 };
    let usable = alpha & (red | green | blue) == 0 && is_contiguous(alpha);
    Ok([red, green, blue, if usable { alpha } else { 0 }])
}

/// Masks without bits that a pixel does not have.
pub(super) fn checked(masks: [u32; 4], bits: u32) -> Result<[u32; 4], Error> {
    let masks = masks.map(|mask| within(mask, bits));
    match masks.into_iter().all(is_contiguous) {
        true => Ok(masks),
        false => Err(unsupported("BMP with bit masks that have gaps")),
    }
}

fn within(mask: u32, bits: u32) -> u32 {
    if bits < u32::BITS { mask & ((1 << bits) - 1) } else { mask }
}

fn is_contiguous(mask: u32) -> bool {
    let shifted = mask.checked_shr(mask.trailing_zeros()).unwrap_or_default();
    shifted & shifted.wrapping_add(1) == 0
}
