//! Secrets, which are never shown.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;

/// The placeholder of a secret.
pub(super) const SET: &str = "[set]";
const MASK: &str = "***";

/// A token or a password, without `Display`; `Debug` prints only that it is set.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The secret itself, for the code that sends or compares it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SET)
    }
}

/// The key of a Standard Webhooks signature: the decoded bytes of `whsec_…`. `Debug` prints only that it is set.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningSecret(Vec<u8>);

impl SigningSecret {
    pub(super) const EXPECTED: &str = "whsec_ followed by the key in base64";

    /// Parses `whsec_` and padded base64 (Standard Webhooks 1.0, "Signature scheme"); `None` when the text is invalid
    /// or the key is empty.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let key = BASE64_STANDARD.decode(text.strip_prefix("whsec_")?).ok()?;
        (!key.is_empty()).then_some(Self(key))
    }

    /// The key itself, for the code that signs.
    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SET)
    }
}

/// A URL that may hold a password, which is shown as `***`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretUrl(Url);

impl SecretUrl {
    /// Parses a URL with one of these schemes.
    pub(super) fn parse(text: &str, schemes: &[&str]) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        (schemes.contains(&url.scheme()) && !url.cannot_be_a_base()).then_some(Self(url))
    }

    /// The URL with its password.
    pub(crate) fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The parsed URL with its password.
    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match masked(&self.0) {
            Some(url) => f.write_str(url.as_str()),
            None => f.write_str(SET),
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The URL with masked secrets: the password, a username without a password (probably a misplaced password), and
/// parameters with a telling name. `None` when it cannot be masked.
fn masked(url: &Url) -> Option<Url> {
    let mut masked = url.clone();
    if url.password().is_some() {
        masked.set_password(Some(MASK)).ok()?;
    } else if !url.username().is_empty() {
        masked.set_username(MASK).ok()?;
    }
    if url.query().is_some() {
        let secret = |name: &str| ["pass", "secret", "token", "key"].iter().any(|word| name.contains(word));
        let pairs = url.query_pairs().map(|(name, value)| {
            let hide = secret(&name.to_ascii_lowercase());
            (name.into_owned(), if hide { MASK.to_owned() } else { value.into_owned() })
        });
        masked.query_pairs_mut().clear().extend_pairs(pairs);
    }
    Some(masked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REDIS: &[&str] = &["redis", "redis-sentinel"];

    #[test]
    fn a_password_is_hidden_in_every_part_of_a_url() {
        for url in [
            "redis://:hunter2@h:6379/0",
            "redis://me:hunter2@h",
            "redis://hunter2@h",
            "redis-sentinel://h:26379?sentinelServiceName=x&sentinelPassword=hunter2",
        ] {
            let url = SecretUrl::parse(url, REDIS).unwrap();
            assert!(!format!("{url} {url:?}").contains("hunter2"), "{url}");
            assert!(url.expose().contains("hunter2"));
        }
        assert_eq!(SecretUrl::parse("redis://me:x@h:1/2", REDIS).unwrap().to_string(), "redis://me:***@h:1/2");
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[set]");
    }

    #[test]
    fn a_signing_secret_is_a_prefix_and_base64() {
        let secret = SigningSecret::parse("whsec_aHVudGVyMg==").unwrap();
        assert_eq!((secret.expose(), format!("{secret:?}").as_str()), (&b"hunter2"[..], "[set]"));
        for bad in ["", "whsec_", "aHVudGVyMg==", "whsec_aHVudGVyMg", "whsec_hunter 2", "whsec-aHVudGVyMg=="] {
            assert_eq!(SigningSecret::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn other_schemes_and_plain_text_are_refused() {
        for bad in ["", "localhost:6379", "http://h", "redis:h", "redis"] {
            assert_eq!(SecretUrl::parse(bad, REDIS), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_password_is_hidden(password in "[a-zA-Z0-9!$()+,;=_~.]{8,20}") {
            let url = SecretUrl::parse(&format!("redis://me:{password}@host"), REDIS);
            prop_assert!(url.is_some_and(|url| !url.to_string().contains(&password)));
        }
    }
}
