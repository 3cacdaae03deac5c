//! The end of an image whose EOI marker is missing or overwritten, as by a transfer that stopped early or a disk that was
//! not written to the end.

use super::bit_reader::BitReaderState;
use super::source::{LOOKAHEAD_BYTES, Source};
use crate::thumbnail::error::Error;

/// Length of the EOI marker.
const EOI_BYTES: usize = 2;

/// Checks the end of the scan that completes an image. A marker behind the data proves that it is complete. Without
/// one, the data must not extend into the zeros of an unwritten part, and behind it there is no more than an overwritten
/// marker and zeros.
pub(super) fn check(source: &mut Source, scan: &BitReaderState) -> Result<(), Error> {
    match source.next_marker(&mut scan.loaded_end()) {
        Err(Error::Truncated) => {}
        other => return other.map(|_| ()),
    }
    let end = scan.consumed_end(source)?;
    // The last byte is filled up with ones (F.1.2.3). A zero can be stuffed.
    let last = source.bytes_from(end.saturating_sub(2))?;
    let is_written = !matches!(last, [0..=0xfe, 0, ..]);
    let mut rest = end + EOI_BYTES;
    let ends_in_zeros = loop {
        let bytes = source.bytes_from(rest)?;
        let bytes = &bytes[..bytes.len().min(LOOKAHEAD_BYTES)];
        if bytes.is_empty() {
            break true;
        }
        if bytes.iter().any(|&byte| byte != 0) {
            break false;
        }
        rest += bytes.len();
    };
    if is_written && ends_in_zeros { Ok(()) } else { Err(Error::Truncated) }
}
