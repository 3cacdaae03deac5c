//! The mail server as a URL: its address, the login, and TLS.

use std::fmt;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::secret::{Secret, SecretUrl};

/// A mail server. `Debug` shows no password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SmtpUrl {
    /// An ASCII host name, or an IP address without brackets.
    pub(crate) host: String,
    /// The port; by default 465 for `smtps`, 587 with a login, otherwise 25.
    pub(crate) port: u16,
    /// The credentials; `None` disables the login.
    pub(crate) login: Option<Login>,
    /// When TLS starts.
    pub(crate) tls: TlsMode,
}

/// The credentials at the mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    /// The username.
    pub(crate) username: String,
    /// The password.
    pub(crate) password: Secret,
}

/// When TLS starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// Never.
    None,
    /// With STARTTLS, if the server offers it.
    Opportunistic,
    /// With STARTTLS; without it, nothing is sent.
    Required,
    /// From the first byte (`smtps`).
    Implicit,
}

impl SmtpUrl {
    pub(super) const SCHEMES: &[&str] = &["smtp", "smtps"];
    pub(super) const EXPECTED: &str = "smtp://host or smtps://host, optionally with username:password@ and a port; \
                                       smtp:// optionally with ?tls=none, ?tls=required or (without a username) \
                                       ?tls=opportunistic";

    /// Parses a URL with a known scheme; `None` when it is invalid.
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

/// The host as in DNS and certificates.
fn host(text: &str) -> Option<String> {
    if let Some(address) = text.strip_prefix('[').and_then(|address| address.strip_suffix(']')) {
        return Some(address.to_owned());
    }
    let name = percent_decode_str(text).decode_utf8().ok()?;
    idna::domain_to_ascii(&name).ok().filter(|name| !name.is_empty())
}

/// The credentials, `Some(None)` without any; `None` when only one of username and password is present.
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
        // An attacker who removes STARTTLS from the traffic must not get the password.
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
    fn a_login_requires_tls_and_defaults_to_the_submission_port() {
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
    fn credentials_and_hosts_are_percent_decoded() {
        let url = read("smtp://ada%40example.org:p%2Fw%3A%20%C3%A9@b%C3%BCcher.example").unwrap();
        let login = url.login.clone().unwrap();
        assert_eq!((login.username.as_str(), login.password.expose()), ("ada@example.org", "p/w: é"));
        assert_eq!(url.host, "xn--bcher-kva.example");
        assert_eq!(read("smtp://bücher.example").unwrap().host, url.host);
        assert_eq!(read("smtp://[::1]:26").unwrap().host, "::1");
        assert!(!format!("{url:?} {login:?}").contains("p/w"), "{url:?} {login:?}");
    }

    #[test]
    fn any_other_url_is_refused() {
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
