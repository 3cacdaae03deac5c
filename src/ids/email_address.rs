//! Email addresses.

use std::fmt;
use std::str::FromStr;

use email_address::{EmailAddress as Parsed, Options};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Invalid;

/// An email address: `local@domain` by RFC 5321 and 6531, without display name, domain literal and control characters,
/// so that it cannot break out of a header or an SMTP command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(max_length = 254, format = "email", example = "ada@example.org")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// The longest address in bytes (RFC 5321, 4.5.3.1.3, less its angle brackets).
    pub const MAX_BYTES: usize = 254;
    const EXPECTED: &str = "an email address, such as \"ada@example.org\", of at most 254 bytes";

    /// Validates a JSON value, or a missing field (`None`).
    ///
    /// # Errors
    /// If it is not a string with an address.
    pub fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        match value {
            Some(Value::String(text)) => text.parse(),
            other => Err(Invalid::json(other, Self::EXPECTED)),
        }
    }

    /// The mailbox in the form in which limits compare addresses: without case, quotes and a tag after `+`, the domain in
    /// Punycode. Not for sending: a server may distinguish what this does not.
    pub(crate) fn mailbox(&self) -> String {
        let (local, domain) = self.0.rsplit_once('@').unwrap_or((&self.0, ""));
        let domain = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_lowercase());
        // RFC 5321, section 4.1.2: quotes, and backslashes within them, are no part of the name.
        let local = local.replace(['"', '\\'], "");
        let untagged = local.split('+').next().unwrap_or_default();
        format!("{}@{}", untagged.to_lowercase(), domain.trim_end_matches('.'))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let options = Options::default().without_display_text().without_domain_literal();
        let plain = text.len() <= Self::MAX_BYTES && !text.chars().any(|c| c.is_control() || c.is_whitespace());
        if plain && Parsed::parse_with_options(text, options).is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::text(text, Self::EXPECTED))
        }
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_mailbox_are_compared_as_equal() {
        let mailbox = |text: &str| text.parse::<EmailAddress>().unwrap().mailbox();
        for spelling in
            ["ada@bücher.example", "Ada@BÜCHER.example", "ADA@xn--bcher-kva.example", "ada+1@bücher.example"]
        {
            assert_eq!(mailbox(spelling), "ada@xn--bcher-kva.example", "{spelling}");
        }
        assert_ne!(mailbox("ada@example.org"), mailbox("a.da@example.org"));
    }

    #[test]
    fn an_address_is_a_bare_mailbox() {
        for good in ["ada@example.org", "a.b+c@sub.example.org", "jürgen@exämple.de", "root@localhost"] {
            assert_eq!(good.parse::<EmailAddress>().unwrap().as_str(), good);
        }
        let long = format!("{}@example.org", "x".repeat(300));
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@@example.org",
            "Ada <ada@example.org>",
            "ada@example.org\r\nBcc: eve@example.org",
            "ada@example.org,eve@example.org",
            "a b@example.org",
            "\"a b\"@example.org",
            "ada@[127.0.0.1]",
            long.as_str(),
        ] {
            assert!(bad.parse::<EmailAddress>().is_err(), "{bad:?}");
        }
    }
}
