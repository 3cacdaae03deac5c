//! Reading of headers.

use std::io::{self, Read};

use crate::error::Error;

/// The next `N` bytes of a header.
pub(crate) fn read<const N: usize>(reader: &mut (impl Read + ?Sized)) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes).map_err(header_error)?;
    Ok(bytes)
}

/// Maps an I/O error: the end of the file within the header is a bad header, anything else is a failed read.
pub(crate) fn header_error(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::BadHeader("truncated"),
        // The error of the operating system for an offset beyond any file size.
        io::ErrorKind::InvalidInput => Error::BadHeader("an offset out of range"),
        _ => Error::Read { source },
    }
}
