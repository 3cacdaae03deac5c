//! Allocation of decode buffers.

use crate::thumbnail::error::Error;
use crate::thumbnail::limits::Limits;

/// A zeroed buffer. Returns an error where a failed allocation would abort the process.
pub(super) fn zeroed(bytes: u64, limits: &Limits) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(bytes).map_err(|_| Error::TooMuchMemory)?;
    let mut buffer = Vec::new();
    if bytes > limits.max_bytes() || buffer.try_reserve_exact(length).is_err() {
        return Err(Error::TooMuchMemory);
    }
    buffer.resize(length, 0);
    Ok(buffer)
}
