//! Detects a truncated PNG by its missing end marker.

use std::io::{self, BufRead, Seek, SeekFrom};

use crate::thumbnail::error::Error;

/// Chunks up to IEND: length, type, data, checksum (PNG specification, 5.3). Seeks to the start of the file first.
pub(super) fn check<F: BufRead + Seek>(mut file: F) -> Result<(), Error> {
    let read_error = |source: io::Error| match source.kind() {
        io::ErrorKind::UnexpectedEof => Error::Truncated,
        _ => Error::Read { source },
    };
    file.seek(SeekFrom::Start(8)).map_err(read_error)?;
    loop {
        let mut chunk = [0; 8];
        file.read_exact(&mut chunk).map_err(read_error)?;
        let [a, b, c, d, name @ ..] = chunk;
        if name == *b"IEND" {
            return file.read_exact(&mut [0; 4]).map_err(read_error);
        }
        // After a seek beyond the end of the file, reading the next chunk fails.
        file.seek_relative(i64::from(u32::from_be_bytes([a, b, c, d])) + 4).map_err(read_error)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_missing_or_incomplete_chunk_is_detected() {
        let check = |bytes: &[u8]| check(Cursor::new(bytes));
        assert!(matches!(check(b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\0\0\0"), Err(Error::Truncated)));
        assert!(matches!(check(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffabcd"), Err(Error::Truncated)));
        assert!(check(b"\x89PNG\r\n\x1a\n\0\0\0\x01abcdx\0\0\0\0\0\0\0\0IEND\0\0\0\0trailing").is_ok());
    }
}
