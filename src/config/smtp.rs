//! The mail server as a URL: where it is, who we are there, and how the connection is kept private.

use std::fmt;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::secret::{Secret, SecretUrl};

/// Where mail is handed in. Its `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl {
    /// A name in ASCII, or an address without brackets.
    pub host: String,
    /// The port; where the URL has none, 465 for `smtps`, 587 for who logs in, and 25 else.
    pub port: u16,
    /// Who we are; `None` means that nobody logs in.
    pub login: Option<Login>,
    /// When TLS begins.
    pub tls: TlsMode,
}

/// Who we are at the mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The username.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// When the connection becomes private.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    None,
    /// As soon as the server offers STARTTLS, if it does.
    Opportunistic,
    /// By STARTTLS, or nothing is sent.
    Required,
    /// From the first byte.
    Implicit,
}

impl SmtpUrl {
    pub(super) const SCHEMES: &[&str] = &["smtp", "smtps"];
    pub(super) const EXPECTED: &str = "smtp://host or smtps://host, with username:password@ and a port or without, and \
                                       at smtp:// with ?tls=none, ?tls=required or (without a username) \
                                       ?tls=opportunistic";

    /// Reads a URL whose scheme is known to be right; `None` when it is not as expected.
    pub(super) fn read(url: &SecretUrl) -> Option<Self> {
        let url = url.as_url();
        let login = login(url)?;
        let tls = tls(url, login.is_some())?;
        let plain = matches!(url.path(), "" | "/") && url.fragment().is_none();
        let port = url.port().unwrap_or(match (tls, &login) {
            (TlsMode::Implicit, _) => 465,
            (_, Some(_)) => 587,
            (_, None) => 25,
        });
        plain.then_some(Self { host: host(url.host_str()?)?, port, login, tls })
    }
}

/// A host as DNS and certificates know it.
fn host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[').and_then(|address| address.strip_suffix(']')) {
        return Some(address.to_owned());
    }
    let name = percent_decode_str(text).decode_utf8().ok()?;
    idna::domain_to_ascii(&name).ok().filter(|name| !name.is_empty())
}

/// Who logs in, `Some(None)` for nobody; `None` when half of it is missing.
fn login(url: &Url) -> Option<Option<Login>> {
    let text = |encoded: &str| percent_decode_str(encoded).decode_utf8().map(|text| text.into_owned()).ok();
    match (url.username(), url.password()) {
        ("", None) => Some(None),
        ("", Some(_)) | (_, None) => None,
        (username, Some(password)) => {
            Some(Some(Login { username: text(username)?, password: Secret::new(&text(password)?) }))
        }
    }
}

fn tls(url: &Url, logs_in: bool) -> Option<TlsMode> {
    let mut parameters = url.query_pairs();
    let first = parameters.next();
    if parameters.next().is_some() {
        return None;
    }
    match (url.scheme(), first.as_ref().map(|(name, value)| (name.as_ref(), value.as_ref()))) {
        ("smtps", None) => Some(TlsMode::Implicit),
        ("smtps", Some(_)) => None,
        // Whoever reads or changes the traffic must not get the password by hiding that the server offers STARTTLS.
        (_, None) if logs_in => Some(TlsMode::Required),
        (_, None) => Some(TlsMode::Opportunistic),
        (_, Some(("tls", "none"))) => Some(TlsMode::None),
        (_, Some(("tls", "required"))) => Some(TlsMode::Required),
        (_, Some(("tls", "opportunistic"))) if !logs_in => Some(TlsMode::Opportunistic),
        _ => None,
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpUrl")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<SmtpUrl> {
        SmtpUrl::read(&SecretUrl::parse(text, SmtpUrl::SCHEMES)?)
    }

    #[test]
    fn a_login_asks_for_privacy_and_for_the_port_of_submission() {
        for (text, port, tls) in [
            ("smtp://h", 25, TlsMode::Opportunistic),
            ("smtp://h/", 25, TlsMode::Opportunistic),
            ("smtp://h?tls=none", 25, TlsMode::None),
            ("smtp://h?tls=opportunistic", 25, TlsMode::Opportunistic),
            ("smtp://h?tls=required", 25, TlsMode::Required),
            ("smtp://me:x@h", 587, TlsMode::Required),
            ("smtp://me:x@h:2525?tls=none", 2525, TlsMode::None),
            ("smtps://h", 465, TlsMode::Implicit),
            ("smtps://me:x@h:1", 1, TlsMode::Implicit),
        ] {
            let url = read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((url.port, url.tls), (port, tls), "{text}");
        }
    }

    #[test]
    fn what_a_url_cannot_hold_is_percent_encoded_in_it() {
        let url = read("smtp://ada%40example.org:p%2Fw%3A%20%C3%A9@b%C3%BCcher.example").unwrap();
        let login = url.login.clone().unwrap();
        assert_eq!((login.username.as_str(), login.password.expose()), ("ada@example.org", "p/w: é"));
        assert_eq!(url.host, "xn--bcher-kva.example");
        assert_eq!(read("smtp://bücher.example").unwrap().host, url.host);
        assert_eq!(read("smtp://[::1]:26").unwrap().host, "::1");
        assert!(!format!("{url:?} {login:?}").contains("p/w"), "{url:?} {login:?}");
    }

    #[test]
    fn whatever_else_stands_in_it_is_refused() {
        for bad in [
            "smtp://",
            "smtp:///",
            "smtp://h/mail",
            "smtp://h#x",
            "smtp://h?tls",
            "smtp://h?tls=maybe",
            "smtp://h?tls=none&tls=none",
            "smtp://h?timeout=1",
            "smtp://me@h",
            "smtp://:x@h",
            "smtp://me:x@h?tls=opportunistic",
            "smtps://h?tls=none",
            "smtp://me:%ff@h",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
