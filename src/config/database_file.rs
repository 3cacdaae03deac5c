//! The path of the SQLite file in `database.url`.

use std::path::PathBuf;

pub(super) const EXPECTED: &str = "the path of a file, or a file: URL such as \"file:./m3a3.db\"";

/// The file that a path or a `file:` URL refers to. In a URL, the query and the fragment are ignored and `%XX` is
/// decoded.
pub(super) fn path(url: &str) -> Option<PathBuf> {
    let path = match url.strip_prefix("file:") {
        Some(rest) => from_file_url(rest)?,
        None if has_scheme(url) => return None,
        None => url.to_owned(),
    };
    let names_a_file = !path.is_empty() && !path.ends_with('/') && !path.contains('\0') && path != ":memory:";
    names_a_file.then(|| PathBuf::from(path))
}

fn from_file_url(rest: &str) -> Option<String> {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = match path.strip_prefix("//") {
        None => path,
        // RFC 8089: an empty authority, or localhost, before an absolute path.
        Some(after) => after.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(after),
    };
    let decoded = percent_decode(path)?;
    (!rest.starts_with("//") || decoded.starts_with('/')).then_some(decoded)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                rest = after;
            }
            (b'%', _) => return None,
            (byte, after) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether the text starts with a URL scheme: `postgres://…`, `sqlite:…`. A single letter is a drive, not a scheme.
fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_or_a_file_url_is_the_file() {
        for (url, expected) in [
            ("data/m3a3.db", "data/m3a3.db"),
            ("/var/lib/m3a3/m.db", "/var/lib/m3a3/m.db"),
            ("query?.db", "query?.db"),
            ("100%.db", "100%.db"),
            ("file:./x.db?connection_limit=1", "./x.db"),
            ("file:x%20y.db", "x y.db"),
            ("file:/x.db", "/x.db"),
            ("file:///x.db#y", "/x.db"),
            ("file://localhost/x.db", "/x.db"),
        ] {
            assert_eq!(path(url), Some(PathBuf::from(expected)), "{url}");
        }
    }

    #[test]
    fn anything_but_a_sqlite_file_is_refused() {
        for bad in [
            "",
            "postgres://h/d",
            "mysql://h",
            "sqlite:x.db",
            ":memory:",
            "file::memory:",
            "file:",
            "data/",
            "file://elsewhere",
            "file://host/x",
            "file:%",
            "file:%0",
            "file:%zz",
            "file:%00",
            "file:%ff",
        ] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_file_or_is_refused(text in any::<String>()) {
            let _ = path(&text);
            let _ = path(&format!("file:{text}"));
        }
    }
}
