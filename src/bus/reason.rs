//! The reason in an error of the client library, as a sentence.
//!
//! The library formats errors of the system, of TLS and of URLs with `Debug`. This restores their usual text.

use std::borrow::Cow;
use std::io;

use fred::error::Error;

/// The reason, such as "Connection refused (os error 111)".
pub(super) fn reason(error: &Error) -> Cow<'_, str> {
    let details = error.details();
    sentence(details).map_or(Cow::Borrowed(details), Cow::Owned)
}

/// The sentence for a text that `Debug` has formatted; `None` for any other text.
fn sentence(details: &str) -> Option<String> {
    if let Some((_, os)) = details.split_once("Os { code: ") {
        let code = os.split(',').next()?.parse().ok()?;
        return Some(io::Error::from_raw_os_error(code).to_string());
    }
    let is_io = ["Custom { kind: ", "Error { kind: "].iter().any(|prefix| details.starts_with(prefix));
    let inner = ["error: ", "message: "].iter().filter(|_| is_io).find_map(|name| details.split_once(name));
    if let Some((_, inner)) = inner {
        let inner = inner.strip_suffix(" }").unwrap_or(inner);
        return unquoted(inner).or_else(|| sentence(inner)).or_else(|| Some(inner.to_owned()));
    }
    let name = details.strip_prefix("Kind(").and_then(|kind| kind.strip_suffix(')')).unwrap_or(details);
    variant(name)
}

/// The text in quotes, without its escapes.
fn unquoted(text: &str) -> Option<String> {
    let text = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(text.replace("\\\"", "\"").replace("\\\\", "\\").replace("\\n", " "))
}

/// The words of an enum's variant: `InvalidCertificate(UnknownIssuer)` is "invalid certificate: unknown issuer". Fields
/// are left out.
fn variant(text: &str) -> Option<String> {
    let (name, rest) = text.split_at(text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len()));
    let is_variant = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.contains(|c: char| c.is_ascii_lowercase())
        && (rest.is_empty()
            || rest.starts_with('(') && rest.ends_with(')')
            || rest.starts_with(" { ") && rest.ends_with(" }"));
    if !is_variant {
        return None;
    }
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    let value = rest.strip_prefix('(').and_then(|value| value.strip_suffix(')'));
    let value = value.and_then(|value| unquoted(value).or_else(|| variant(value)));
    Some(value.map_or_else(|| words.clone(), |value| format!("{words}: {value}")))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use rustls::CertificateError;

    use super::*;

    #[test]
    fn an_error_of_the_system_has_its_usual_text() {
        for (error, text) in [
            (io::Error::from_raw_os_error(111), "Connection refused (os error 111)"),
            (io::Error::other("failed to look up \"redis\""), "failed to look up \"redis\""),
            (io::Error::from(ErrorKind::UnexpectedEof), "unexpected eof"),
            (io::Error::new(ErrorKind::InvalidData, rustls::Error::DecryptError), "decrypt error"),
        ] {
            assert_eq!(reason(&Error::from(error)), text);
        }
    }

    #[test]
    fn an_error_of_tls_is_a_sentence() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(reason(&Error::from(expired.clone())), "invalid certificate: unknown issuer");
        let error = io::Error::new(ErrorKind::InvalidData, expired);
        assert_eq!(reason(&Error::from(error)), "invalid certificate: unknown issuer");
        let certificate = CertificateError::NotValidForName;
        let error = rustls::Error::InvalidCertificate(certificate);
        assert_eq!(reason(&Error::from(error)), "invalid certificate: not valid for name");
        assert_eq!(reason(&Error::from(rustls::Error::General("no roots".to_owned()))), "general: no roots");
        let unreadable =
            "Error { context: \"failed\", kind: Io { inner: Os { code: 2, kind: NotFound }, path: \"x\" } }";
        assert_eq!(sentence(unreadable).as_deref(), Some("No such file or directory (os error 2)"));
        assert_eq!(sentence("NotValid { expected: X(\"a\"), presented: [] }").as_deref(), Some("not valid"));
    }

    #[test]
    fn any_other_text_is_kept() {
        for text in [
            "WRONGPASS invalid username-password pair or user is disabled.",
            "ERR unknown command 'X' (see COMMAND)",
            "Unable to connect.",
            "Timeout (5 s)",
            "",
            "READONLY",
        ] {
            assert_eq!(sentence(text), None, "{text}");
        }
    }
}
