//! The address of a game server.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

const EXPECTED: &str = "expected http:// or https:// and a host, such as http://localhost:3011";
const PATH: &str = "socket.io/";

/// The base URL of a game server: `http` or `https`, without credentials, query and fragment.
///
/// A path of Socket.IO at the end is accepted and removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// The URL of Socket.IO on the server.
    pub(super) fn socket(&self) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{PATH}", url.path()));
        url
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let with_scheme = format!("http://{text}");
        if !text.contains("://") && Url::parse(&with_scheme).is_ok() {
            return Err(format!("it has no scheme; did you mean {with_scheme}?"));
        }
        let mut url = Url::parse(text).map_err(|error| format!("{error}; {EXPECTED}"))?;
        let plain = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !plain || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{EXPECTED}, optionally followed by a path"));
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(path.strip_suffix(PATH).unwrap_or(&path));
        Ok(Self(url))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_slashes_are_tolerated() {
        for (text, socket) in [
            ("http://localhost:3011", "http://localhost:3011/socket.io/"),
            ("http://localhost:3011/", "http://localhost:3011/socket.io/"),
            ("http://localhost:3011/socket.io", "http://localhost:3011/socket.io/"),
            ("http://localhost:3011/socket.io/", "http://localhost:3011/socket.io/"),
            ("https://h/game//", "https://h/game/socket.io/"),
            ("HTTP://[::1]:3011", "http://[::1]:3011/socket.io/"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().socket().as_str(), socket, "{text}");
        }
        assert_eq!("https://h/game/socket.io/".parse::<Address>().unwrap().to_string(), "https://h/game");
    }

    #[test]
    fn an_invalid_address_is_rejected_with_a_suggestion() {
        for (text, part) in [
            ("localhost:3011", "did you mean http://localhost:3011?"),
            ("127.0.0.1:3011/", "did you mean http://127.0.0.1:3011/?"),
            ("example.org", "did you mean http://example.org?"),
            ("", "http://localhost:3011"),
            ("http://", "http://localhost:3011"),
            ("http://h:99999", "http://localhost:3011"),
            ("ftp://h", "http://localhost:3011"),
            ("ws://h", "http://localhost:3011"),
            ("http://a:b@h", "http://localhost:3011"),
            ("http://h?x", "optionally followed by a path"),
            ("http://h#x", "optionally followed by a path"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
