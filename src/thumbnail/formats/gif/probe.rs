//! GIF: the dimensions.

use super::super::header::read;
use crate::thumbnail::error::Error;
use crate::thumbnail::raster::Size;

/// The logical screen descriptor (GIF89a, 18).
pub(super) fn size(head: &[u8]) -> Result<Size, Error> {
    let mut header = head.get(6..).unwrap_or_default();
    let width = u16::from_le_bytes(read(&mut header)?).into();
    let height = u16::from_le_bytes(read(&mut header)?).into();
    Ok(Size { width, height })
}
