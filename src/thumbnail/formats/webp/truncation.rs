//! Detects a truncated WebP by the lengths of its chunks.

/// The RIFF length and every chunk within it (RFC 9649, 2.3). The last padding byte is often missing.
pub(super) fn complete(bytes: &[u8]) -> Option<()> {
    let length = |bytes: &[u8]| usize::try_from(u32::from_le_bytes(*bytes.get(4..8)?.first_chunk()?)).ok();
    let mut rest = bytes.get(12..length(bytes)?.checked_add(8)?)?;
    while rest.len() >= 8 {
        let length = length(rest)?.checked_add(8)?;
        let chunk = rest.get(..length)?;
        rest = rest.get(chunk.len() + (length & 1)..).unwrap_or_default();
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_beyond_the_end_of_the_file_is_detected() {
        assert_eq!(complete(b"RIFF\x0e\0\0\0WEBPVP8 \x01\0\0\0x"), None);
        assert_eq!(complete(b"RIFF\x0d\0\0\0WEBPVP8 \x01\0\0\0x"), Some(()));
        assert_eq!(complete(b"RIFF\x0d\0\0\0WEBPVP8 \x02\0\0\0x"), None);
    }
}
