//! Signatures by the Standard Webhooks specification 1.0, symmetric (`v1`).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::digest::InvalidLength;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Signs with one key; it has no `Debug`.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    /// A signer with this key.
    ///
    /// # Errors
    /// None that is known: HMAC takes keys of any length.
    pub(super) fn new(key: &[u8]) -> Result<Self, InvalidLength> {
        Hmac::new_from_slice(key).map(Self)
    }

    /// The value of `webhook-signature` for a message of this id, sent at this time (in seconds since 1970).
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_specification_s_example_is_signed_as_it_says() {
        let key = BASE64_STANDARD.decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let signature = Signer::new(&key).unwrap().sign(
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            br#"{"email":"test@example.com","username":"test_user"}"#,
        );
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    proptest! {
        #[test]
        fn any_key_and_body_are_signed_as_the_reference_does(
            key in prop::collection::vec(any::<u8>(), 1..200), timestamp in any::<i64>(), body in any::<String>(),
        ) {
            let reference = standardwebhooks::Webhook::from_bytes(key.clone()).unwrap();
            let expected = reference.sign("id", timestamp, body.as_bytes()).unwrap();
            prop_assert_eq!(Signer::new(&key).unwrap().sign("id", timestamp, body.as_bytes()), expected);
        }
    }
}
