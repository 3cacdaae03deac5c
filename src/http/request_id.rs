//! The id of a request: `X-Request-Id` of the client or of this server.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

/// On every response, and accepted on every request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MAX_LENGTH: usize = 128;

/// The id of one request. An assigned id is formatted when it is needed, so that a long poll keeps 16 bytes of it.
#[derive(Debug, Clone)]
pub(crate) enum RequestId {
    /// A counter of this process.
    Assigned(u64),
    /// Well formed: 1 to [`MAX_LENGTH`] of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`.
    Received(Box<str>),
}

impl RequestId {
    /// The client's id if it is well formed, otherwise a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let received = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        received.filter(|id| is_well_formed(id)).map_or_else(Self::assign, |id| Self::Received(id.into()))
    }

    /// A new id.
    pub(crate) fn assign() -> Self {
        static COUNTER: AtomicU64 = AtomicU64::new(1);
        Self::Assigned(COUNTER.fetch_add(1, Ordering::Relaxed))
    }

    /// An assigned id is unique in this process and very likely among processes: a random number of the process and a
    /// counter.
    fn text(&self) -> Cow<'_, str> {
        static PROCESS: LazyLock<String> = LazyLock::new(|| format!("{:08x}-", rand::random::<u32>()));
        match self {
            // Without format!, which would be a twentieth of the cost of a small request.
            Self::Assigned(counter) => {
                let digits = (0..u64::BITS).step_by(4).rev().map(|shift| (counter >> shift & 0xf) as u32);
                let digits = digits.skip_while(|digit| *digit == 0).filter_map(|digit| char::from_digit(digit, 16));
                let mut text = String::with_capacity(PROCESS.len() + 16);
                text.push_str(&PROCESS);
                text.extend(digits);
                text.into()
            }
            Self::Received(id) => id.as_ref().into(),
        }
    }

    /// Sets [`X_REQUEST_ID`].
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        // Both forms are visible ASCII, which a header value can hold.
        if let Ok(value) = HeaderValue::try_from(self.text().as_ref()) {
            headers.insert(X_REQUEST_ID, value);
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

fn is_well_formed(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(value: &[u8]) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        RequestId::of(&headers)
    }

    #[test]
    fn a_well_formed_id_of_the_client_is_kept() {
        for id in ["a", "0af7651916cd43dd8448eb211c80319c", "A-z_0.9", &"x".repeat(MAX_LENGTH)] {
            assert_eq!(id_of(id.as_bytes()).to_string(), id);
        }
    }

    #[test]
    fn any_other_id_is_replaced() {
        for bad in ["", "a b", "a\"b", "a/b", "a\tb", &"x".repeat(MAX_LENGTH + 1)] {
            assert!(matches!(id_of(bad.as_bytes()), RequestId::Assigned(_)), "{bad}");
        }
        assert!(matches!(id_of(b"caf\xe9"), RequestId::Assigned(_)));
        assert!(matches!(RequestId::of(&HeaderMap::new()), RequestId::Assigned(_)));
    }

    #[test]
    fn assigned_ids_differ_and_are_well_formed() {
        let [one, other] = [RequestId::assign(), RequestId::assign()].map(|id| id.to_string());
        assert_ne!(one, other);
        assert!(is_well_formed(&one) && is_well_formed(&other), "{one} {other}");
    }

    #[test]
    fn an_id_is_small() {
        assert_eq!(size_of::<RequestId>(), 16);
    }
}
