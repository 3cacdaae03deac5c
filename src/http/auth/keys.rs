//! The keys that verify user tokens: one secret, or a JSON Web Key Set (RFC 7517).

use std::collections::HashSet;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation};
use serde::Deserialize;
use serde_json::Value;

/// How much the clocks of the issuer and of this server may differ, in seconds.
pub(super) const LEEWAY_S: u64 = 30;
/// The keys of a set that are used, of which a token without `kid` tries each.
const MAX_KEYS: usize = 64;
const MIN_RSA_BYTES: usize = 256;

/// The claims that a token must have beside `exp`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// The value of `iss`.
    pub(crate) issuer: Option<String>,
    /// The value of `aud`, or one of its values.
    pub(crate) audience: Option<String>,
}

/// A key with the rules for its tokens.
pub(super) struct Key {
    id: Option<String>,
    pub(super) decoding: DecodingKey,
    /// Allows the algorithm of this key alone, whatever the token says.
    pub(super) validation: Validation,
}

/// A key set without a key for user tokens.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// The text is not a key set.
    #[error("it is not a JSON Web Key Set: {0}")]
    Syntax(String),
    /// No key of the set can be used.
    #[error("none of its {keys} keys is an RSA key for RS256, a P-256 key for ES256 or an Ed25519 key for EdDSA")]
    NoKey {
        /// The number of keys in the set.
        keys: usize,
    },
}

/// The keys; a token is verified with one of them.
pub(super) struct Keys(Vec<Key>);

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

impl Keys {
    pub(super) fn of_secret(secret: &[u8], expected: &Expected) -> Self {
        let decoding = DecodingKey::from_secret(secret);
        Self(vec![Key { id: None, decoding, validation: validation(Algorithm::HS256, expected) }])
    }

    /// Parses a key set. Keys of other kinds are skipped: a set may serve several purposes. Secret keys are of another
    /// kind too, since the set is public.
    pub(super) fn of_set(text: &[u8], expected: &Expected) -> Result<Self, KeyError> {
        let set: KeySet = serde_json::from_slice(text).map_err(|error| KeyError::Syntax(error.to_string()))?;
        let number = set.keys.len();
        let keys: Vec<Key> = set.keys.into_iter().filter_map(|key| public_key(key, expected)).take(MAX_KEYS).collect();
        if keys.is_empty() { Err(KeyError::NoKey { keys: number }) } else { Ok(Self(keys)) }
    }

    /// No keys: no token is valid.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether any key has an id.
    pub(super) fn are_named(&self) -> bool {
        self.0.iter().any(|key| key.id.is_some())
    }

    /// Whether a key has this id.
    pub(super) fn has(&self, key_id: &str) -> bool {
        self.0.iter().any(|key| key.id.as_deref() == Some(key_id))
    }

    /// The keys with which a token with this header may be signed.
    pub(super) fn candidates(&self, key_id: Option<&str>) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| match (key.id.as_deref(), key_id) {
            (Some(id), Some(wanted)) => id == wanted,
            _ => true,
        })
    }
}

impl Key {
    pub(super) fn algorithm(&self) -> Algorithm {
        self.validation.algorithms[0]
    }
}

fn public_key(key: Value, expected: &Expected) -> Option<Key> {
    let key: Jwk = serde_json::from_value(key).ok()?;
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let is_for_it = match key.common.key_algorithm {
        None => true,
        Some(KeyAlgorithm::RS256) => algorithm == Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => algorithm == Algorithm::ES256,
        Some(KeyAlgorithm::EdDSA) => algorithm == Algorithm::EdDSA,
        Some(_) => false,
    };
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let decoding = DecodingKey::from_jwk(&key).ok().filter(|_| is_for_it && signs).and_then(usable)?;
    Some(Key { id: key.common.key_id, decoding, validation: validation(algorithm, expected) })
}

/// The key in the form that ring verifies: RSA of at least 2048 bits, without zeros before the modulus.
fn usable(key: DecodingKey) -> Option<DecodingKey> {
    let DecodingKeyKind::RsaModulusExponent { n, e } = key.kind() else { return Some(key) };
    let zeros = n.iter().take_while(|byte| **byte == 0).count();
    let modulus = &n[zeros..];
    (modulus.len() >= MIN_RSA_BYTES).then(|| DecodingKey::from_rsa_raw_components(modulus, e))
}

fn validation(algorithm: Algorithm, expected: &Expected) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY_S;
    validation.validate_nbf = true;
    validation.iss = expected.issuer.clone().map(|issuer| HashSet::from([issuer]));
    validation.aud = expected.audience.clone().map(|audience| HashSet::from([audience]));
    validation.validate_aud = validation.aud.is_some();
    let configured = [("iss", validation.iss.is_some()), ("aud", validation.aud.is_some()), ("exp", true)];
    validation.required_spec_claims =
        configured.iter().filter(|(_, required)| *required).map(|(claim, _)| (*claim).to_owned()).collect();
    validation
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POINT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    fn set(keys: Value) -> Result<Keys, KeyError> {
        Keys::of_set(json!({ "keys": keys }).to_string().as_bytes(), &Expected::default())
    }

    #[test]
    fn the_kind_of_a_key_decides_its_algorithm_and_other_keys_are_skipped() {
        let modulus = format!("{}A", "B".repeat(341));
        let keys = set(json!([
            { "kty": "OKP", "crv": "Ed25519", "x": POINT, "kid": "a", "alg": "EdDSA", "use": "sig" },
            { "kty": "EC", "crv": "P-256", "x": POINT, "y": POINT, "kid": "b" },
            { "kty": "RSA", "n": modulus, "e": "AQAB" },
            { "kty": "RSA", "n": POINT, "e": "AQAB", "kid": "short" },
            { "kty": "oct", "k": POINT, "kid": "secret" },
            { "kty": "EC", "crv": "secp256k1", "x": POINT, "y": POINT, "kid": "other" },
            { "kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS512", "kid": "other" },
            { "kty": "RSA", "n": modulus, "e": "AQAB", "use": "enc", "kid": "other" },
            { "kty": "future" },
            7
        ]))
        .unwrap();
        let algorithms = |id| keys.candidates(id).map(Key::algorithm).collect::<Vec<_>>();
        assert_eq!(algorithms(None), [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256]);
        assert_eq!(algorithms(Some("a")), [Algorithm::EdDSA, Algorithm::RS256]);
        assert_eq!(algorithms(Some("other")), [Algorithm::RS256], "a key without an id may be any");
    }

    #[test]
    fn a_set_without_a_usable_key_is_an_error() {
        assert_eq!(set(json!([{ "kty": "oct", "k": POINT }])).err(), Some(KeyError::NoKey { keys: 1 }));
        assert_eq!(set(json!([])).err(), Some(KeyError::NoKey { keys: 0 }));
        for text in ["", "[]", "{}", "-----BEGIN PUBLIC KEY-----"] {
            let error = Keys::of_set(text.as_bytes(), &Expected::default()).err();
            assert!(matches!(error, Some(KeyError::Syntax(_))), "{text}");
        }
    }
}
