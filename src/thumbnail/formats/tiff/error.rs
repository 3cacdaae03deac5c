//! Maps errors of the `tiff` crate.

use tiff::TiffError;

use crate::thumbnail::error::Error;

pub(super) fn decode_error(error: TiffError) -> Error {
    match error {
        TiffError::IoError(source) => Error::decoder_io(source),
        TiffError::LimitsExceeded => Error::TooMuchMemory,
        TiffError::UnsupportedError(_) => Error::Unsupported("This variant of TIFF"),
        other => Error::corrupt(other),
    }
}
