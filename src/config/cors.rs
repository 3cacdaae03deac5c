//! `[cors]`: the origins whose pages may use the servers.

use reqwest::Url;

use super::error::ConfigError;
use super::reader::{ParseError, Reader, quoted};

const EXPECTED: &str = "origins separated by commas, such as \"https://example.org, http://localhost:3000\", or \"*\"";
const ORIGIN: &str = "\"*\", or a scheme, a host and a port if it is not the default, such as \"https://example.org\"";
const ANY: &str = "*";

/// `[cors]`.
#[derive(Debug, Clone)]
pub(crate) struct Cors {
    /// Origins as browsers send them, or `*` for all. If empty, pages of other origins may not read responses.
    pub(crate) origins: Vec<String>,
}

impl Cors {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        Ok(Self { origins: from.parts("cors.origins", EXPECTED, origins)? })
    }
}

fn origins(text: &str) -> Result<Vec<String>, ParseError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| origin(part).ok_or_else(|| ParseError::new(quoted(part), ORIGIN))).collect()
}

/// An origin as browsers send it (RFC 6454, section 6.2). Apps in a web view have schemes of their own, as in
/// `capacitor://localhost`.
fn origin(text: &str) -> Option<String> {
    if text == ANY {
        return Some(text.to_owned());
    }
    let url = Url::parse(text).ok()?;
    let has_more = !url.username().is_empty()
        || url.password().is_some()
        || !matches!(url.path(), "" | "/")
        || url.query().is_some()
        || url.fragment().is_some();
    let host = url.host_str().filter(|host| !host.is_empty() && !host.contains('*') && !has_more)?;
    Some(match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_normalized_as_browsers_send_them() {
        for (text, origins) in [
            ("", &[][..]),
            (" , ", &[]),
            ("*", &["*"]),
            ("https://Shop.Example/", &["https://shop.example"]),
            ("https://a.example:443,http://b.example:8080 ", &["https://a.example", "http://b.example:8080"]),
            ("http://[::1]:3000, *", &["http://[::1]:3000", "*"]),
            ("https://größe.example", &["https://xn--gre-6ka8i.example"]),
            ("capacitor://localhost, tauri://localhost", &["capacitor://localhost", "tauri://localhost"]),
        ] {
            assert_eq!(super::origins(text).unwrap(), origins, "{text}");
        }
    }

    #[test]
    fn anything_but_an_origin_is_an_error_that_names_it() {
        for wrong in [
            "shop.example",
            "localhost:3000",
            "https://",
            "https://shop.example/path",
            "https://shop.example?x",
            "https://shop.example#x",
            "https://user@shop.example",
            "https://*.shop.example",
            "null",
            "**",
            "file:///",
        ] {
            let text = format!("https://fine.example, {wrong}");
            assert_eq!(origins(&text).unwrap_err(), ParseError::new(format!("{wrong:?}"), ORIGIN), "{wrong}");
        }
    }
}
