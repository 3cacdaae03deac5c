//! PNG: the dimensions.

use super::super::header::read;
use crate::error::Error;
use crate::raster::Size;

/// The `IHDR` chunk, which must be the first one (PNG specification, 11.2.1).
pub(super) fn size(head: &[u8]) -> Result<Size, Error> {
    let mut header = head.get(8..).unwrap_or_default();
    if read::<8>(&mut header)? != *b"\0\0\0\x0dIHDR" {
        return Err(Error::BadHeader("no IHDR"));
    }
    let width = u32::from_be_bytes(read(&mut header)?);
    let height = u32::from_be_bytes(read(&mut header)?);
    Ok(Size { width, height })
}
