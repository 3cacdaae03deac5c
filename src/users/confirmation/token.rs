//! The token of a confirmation link: user, expiry and address, signed with the key of the installation.
//!
//! URL-safe base64 (RFC 4648, section 5) without padding of 64 bytes, numbers in big endian:
//!
//! | bytes | content |
//! |---|---|
//! | 8 | id of the user |
//! | 8 | end of the validity, in milliseconds since 1970 |
//! | 16 | tag of the address: the first half of its HMAC-SHA-256 |
//! | 32 | signature: HMAC-SHA-256 of the above |
//!
//! The token does not reveal the address, since links are in histories and in logs of proxies. Each HMAC begins with a
//! label, so that neither can be used in place of the other.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ring::hmac;

use crate::db::UnixMillis;
use crate::ids::{EmailAddress, UserId};

const ADDRESS_LABEL: &[u8] = b"m3a3 confirmation address\0";
const LINK_LABEL: &[u8] = b"m3a3 confirmation link\0";
const TAG_BYTES: usize = 16;
const CLAIMS_BYTES: usize = 8 + 8 + TAG_BYTES;
/// The length of a token: 64 bytes in base64.
const TOKEN_CHARS: usize = 86;

/// The key that signs confirmation links.
#[derive(Clone)]
pub(super) struct ConfirmationKey(hmac::Key);

/// A token with a valid signature. It may have expired.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) user: UserId,
    expires: UnixMillis,
    tag: [u8; TAG_BYTES],
    key: ConfirmationKey,
}

impl ConfirmationKey {
    /// The length of the secret in bytes: that of the digest (RFC 2104, section 3).
    pub(super) const LEN: usize = 32;

    /// The key with this secret, which must be random.
    pub(super) fn new(secret: &[u8; Self::LEN]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub(super) fn sign(&self, user: UserId, address: &EmailAddress, expires: UnixMillis) -> String {
        let mut token = [&user.get().to_be_bytes()[..], &expires.to_be_bytes(), &self.tag(address)].concat();
        let signature = hmac::sign(&self.0, &[LINK_LABEL, &token].concat());
        token.extend(signature.as_ref());
        BASE64.encode(token)
    }

    /// `None` unless this key has signed the token. The comparison takes constant time.
    pub(super) fn verify(&self, token: &str) -> Option<Link> {
        if token.len() != TOKEN_CHARS {
            return None;
        }
        let bytes = BASE64.decode(token).ok()?;
        let (claims, signature) = bytes.split_at_checked(CLAIMS_BYTES)?;
        hmac::verify(&self.0, &[LINK_LABEL, claims].concat(), signature).ok()?;
        let (user, claims) = claims.split_first_chunk()?;
        let (expires, tag) = claims.split_first_chunk()?;
        Some(Link {
            user: UserId::new(i64::from_be_bytes(*user)).ok()?,
            expires: i64::from_be_bytes(*expires),
            tag: tag.try_into().ok()?,
            key: self.clone(),
        })
    }

    fn tag(&self, address: &EmailAddress) -> [u8; TAG_BYTES] {
        let digest = hmac::sign(&self.0, &[ADDRESS_LABEL, address.as_str().as_bytes()].concat());
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&digest.as_ref()[..TAG_BYTES]);
        tag
    }
}

impl Link {
    /// Whether the link was mailed to this address.
    pub(super) fn is_for(&self, address: &EmailAddress) -> bool {
        self.key.tag(address) == self.tag
    }

    pub(super) fn has_expired(&self, now: UnixMillis) -> bool {
        self.expires <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> ConfirmationKey {
        ConfirmationKey::new(&[byte; ConfirmationKey::LEN])
    }

    fn address(text: &str) -> EmailAddress {
        text.parse().unwrap()
    }

    fn token() -> String {
        key(1).sign(UserId::new(7).unwrap(), &address("ada@example.org"), 1_000)
    }

    #[test]
    fn a_token_is_for_its_user_its_address_and_its_time() {
        let link = key(1).verify(&token()).unwrap();
        assert_eq!(link.user.get(), 7);
        assert!(link.is_for(&address("ada@example.org")) && !link.is_for(&address("Ada@example.org")));
        assert!(!link.has_expired(999) && link.has_expired(1_000));
    }

    #[test]
    fn a_token_is_short_safe_in_urls_and_without_the_address() {
        let token = token();
        assert_eq!(token.len(), TOKEN_CHARS);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
        let bytes = BASE64.decode(&token).unwrap();
        assert!(!bytes.windows(3).any(|part| part == b"ada"));
    }

    #[test]
    fn a_token_of_another_key_and_a_tag_in_place_of_a_signature_are_refused() {
        assert!(key(2).verify(&token()).is_none());
        let mut bytes = BASE64.decode(token()).unwrap();
        let signature = hmac::sign(&key(1).0, &[ADDRESS_LABEL, &bytes[..CLAIMS_BYTES]].concat());
        bytes.truncate(CLAIMS_BYTES);
        bytes.extend(signature.as_ref());
        assert!(key(1).verify(&BASE64.encode(bytes)).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,200}", base64 in "[A-Za-z0-9_-]{86}") {
            prop_assert!(key(1).verify(&text).is_none());
            prop_assert!(key(1).verify(&base64).is_none());
        }

        #[test]
        fn every_other_character_at_any_place_is_refused(at in 0..TOKEN_CHARS, other in "[A-Za-z0-9_=.-]") {
            let token = token();
            prop_assume!(token[at..=at] != other);
            let mut changed = token.clone();
            changed.replace_range(at..=at, &other);
            prop_assert!(key(1).verify(&changed).is_none());
            prop_assert!(key(1).verify(&token[..at]).is_none());
        }

        #[test]
        fn every_signed_token_is_verified(user in 1..=UserId::MAX, expires: i64, secret: [u8; 32]) {
            let (key, user) = (ConfirmationKey::new(&secret), UserId::new(user).unwrap());
            let link = key.verify(&key.sign(user, &address("jürgen@exämple.org"), expires)).unwrap();
            prop_assert_eq!((link.user, link.expires), (user, expires));
            prop_assert!(link.is_for(&address("jürgen@exämple.org")));
        }
    }
}
