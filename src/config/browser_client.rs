//! The value of `game.socketio_client`: where the official Socket.IO client for browsers is.

use std::path::PathBuf;

/// The source of the client's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BrowserClient {
    /// Requests are redirected to this URL and the name of the file.
    Redirect(String),
    /// A folder with the files.
    Folder(PathBuf),
    /// There are no files.
    None,
}

impl BrowserClient {
    pub(super) const EXPECTED: &str =
        "a URL that begins with http:// or https:// and ends with /, a folder, or \"none\"";

    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::None);
        }
        match text.split_once("://") {
            Some(("http" | "https", rest)) => {
                // The URL becomes a header value.
                let is_url = !rest.starts_with('/') && rest.bytes().all(|byte| byte.is_ascii_graphic());
                (is_url && rest.ends_with('/') && !rest.contains(['?', '#'])).then(|| Self::Redirect(text.to_owned()))
            }
            Some(_) => None,
            None => (!text.is_empty() && !text.contains('\0')).then(|| Self::Folder(PathBuf::from(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_url_a_folder_or_none() {
        let redirect = |url: &str| Some(BrowserClient::Redirect(url.to_owned()));
        let folder = |path: &str| Some(BrowserClient::Folder(path.into()));
        for (text, expected) in [
            ("https://cdn.example/4/", redirect("https://cdn.example/4/")),
            ("http://10.0.0.1:8080/", redirect("http://10.0.0.1:8080/")),
            ("dist", folder("dist")),
            ("/srv/socket.io/dist/", folder("/srv/socket.io/dist/")),
            ("none", Some(BrowserClient::None)),
            ("", None),
            ("https://cdn.example/4", None),
            ("https://cdn.example/4/?a=/", None),
            ("https:///4/", None),
            ("https://cdn.example/ä/", None),
            ("https://cdn.example/\r\nx: /", None),
            ("ftp://cdn.example/", None),
        ] {
            assert_eq!(BrowserClient::parse(text), expected, "{text:?}");
        }
    }
}
