//! Symmetric signatures (`v1`) of the Standard Webhooks specification 1.0.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::digest::InvalidLength;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A signing key; without `Debug`, so that it is never logged.
#[derive(Clone)]
pub(super) struct Signer(Hmac<Sha256>);

impl Signer {
    /// HMAC accepts keys of any length, so that no error is known.
    pub(super) fn new(key: &[u8]) -> Result<Self, InvalidLength> {
        Hmac::new_from_slice(key).map(Self)
    }

    /// The value of `webhook-signature`; `timestamp` is in seconds since 1970.
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
    fn the_example_of_the_specification_has_its_signature() {
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
        fn signatures_equal_those_of_the_reference_implementation(
            key in prop::collection::vec(any::<u8>(), 1..200), timestamp in any::<i64>(), body in any::<String>(),
        ) {
            let reference = standardwebhooks::Webhook::from_bytes(key.clone()).unwrap();
            let expected = reference.sign("id", timestamp, body.as_bytes()).unwrap();
            prop_assert_eq!(Signer::new(&key).unwrap().sign("id", timestamp, body.as_bytes()), expected);
        }
    }
}
