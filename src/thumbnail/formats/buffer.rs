//! Allocation of decode buffers.

use crate::error::Error;
use crate::limits::Limits;

/// A zeroed buffer of so many numbers. Returns an error where a failed allocation would abort the process.
pub(super) fn zeroed<T: Clone + Default>(length: u64, limits: &Limits) -> Result<Vec<T>, Error> {
    let bytes = length.saturating_mul(size_of::<T>() as u64);
    let length = usize::try_from(length).map_err(|_| Error::TooMuchMemory)?;
    let mut buffer = Vec::new();
    if bytes > limits.max_bytes() || buffer.try_reserve_exact(length).is_err() {
        return Err(Error::TooMuchMemory);
    }
    buffer.resize(length, T::default());
    Ok(buffer)
}
