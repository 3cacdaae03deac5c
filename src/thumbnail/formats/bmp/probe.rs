//! BMP: the dimensions.

use super::super::header::read;
use crate::thumbnail::error::Error;
use crate::thumbnail::raster::Size;

/// `BITMAPCOREHEADER` has 16-bit dimensions, all later headers 32-bit; a negative height means top-down rows.
pub(super) fn size(head: &[u8]) -> Result<Size, Error> {
    let mut header = head.get(14..).unwrap_or_default();
    if u32::from_le_bytes(read(&mut header)?) == 12 {
        let width = u16::from_le_bytes(read(&mut header)?).into();
        let height = u16::from_le_bytes(read(&mut header)?).into();
        return Ok(Size { width, height });
    }
    let width = i32::from_le_bytes(read(&mut header)?);
    let height = i32::from_le_bytes(read(&mut header)?);
    let width = u32::try_from(width).map_err(|_| Error::BadHeader("a negative width"))?;
    Ok(Size { width, height: height.unsigned_abs() })
}
