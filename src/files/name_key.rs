//! The key of thumbnail names.

use std::fmt;

use ring::hmac;

use super::hex;

/// The secret of an installation, with which its thumbnails are named by their content. `Debug` shows nothing of it.
///
/// The same key and content give the same name. Without the key, nobody can compute the name of an image's thumbnail,
/// and ask the server whether it exists.
#[derive(Clone)]
pub struct NameKey(hmac::Key);

impl NameKey {
    /// The length of the secret in bytes: that of the digest (RFC 2104, section 3).
    pub const LEN: usize = 32;

    /// The key with this secret, which must be random.
    pub fn new(secret: &[u8; Self::LEN]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// HMAC-SHA-256 of the content (RFC 2104), in hex.
    pub(super) fn name(&self, content: &[u8]) -> String {
        hex(hmac::sign(&self.0, content).as_ref())
    }
}

impl fmt::Debug for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_hmac_sha_256_of_the_content() {
        // RFC 4231, test case 2. HMAC pads a short key with zeros, so that the longer key is the same.
        let mut secret = [0; NameKey::LEN];
        secret[..4].copy_from_slice(b"Jefe");
        let name = NameKey::new(&secret).name(b"what do ya want for nothing?");
        assert_eq!(name, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", NameKey::new(&[7; NameKey::LEN])), "NameKey");
    }
}
