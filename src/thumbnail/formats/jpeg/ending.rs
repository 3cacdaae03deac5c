//! The end of the data of a scan. The end marker of an image can be missing or overwritten, as by a transfer that
//! stopped early or a disk that was not written to the end.

use super::bit_reader::BitReaderState;
use super::source::Source;
use crate::error::Error;

/// Checks that a decoded scan does not extend into the zeros of an unwritten part of the file. Its last byte is filled
/// up with ones (F.1.2.3), so a zero that is not stuffed is rare: it is accepted if a marker follows immediately.
pub(super) fn check(source: &mut Source, scan: &BitReaderState) -> Result<(), Error> {
    let end = scan.consumed_end(source)?;
    match source.bytes_from(end.saturating_sub(2))? {
        [0..=0xfe, 0, 0xff, code, ..] if *code != 0 => Ok(()),
        [0..=0xfe, 0, ..] => Err(Error::Truncated),
        _ => Ok(()),
    }
}
