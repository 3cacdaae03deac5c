//! Links in responses: paths on this server, or URLs below `serve.public_url`.

use std::sync::Arc;

use reqwest::Url;

/// The base of links; a clone shares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links {
    /// Without a slash at the end; empty for paths on this server.
    base: Arc<str>,
}

impl Links {
    /// `public_url` has no slash at its end.
    pub(crate) fn new(public_url: Option<&str>) -> Self {
        Self { base: public_url.unwrap_or_default().into() }
    }

    /// The link for a path on this server. Thumbnails of other programs may have a relative path, or a URL, also one
    /// without a scheme (`//host/path`), which stays as it is.
    pub(super) fn to(&self, path: String) -> String {
        if self.base.is_empty() || path.starts_with("//") || Url::parse(&path).is_ok() {
            return path;
        }
        format!("{}/{}", self.base, path.trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_paths_or_below_the_public_url() {
        let link = |public_url: Option<&str>, path: &str| Links::new(public_url).to(path.to_owned());
        assert_eq!(link(None, "/jobs/1"), "/jobs/1");
        assert_eq!(link(None, "uploads/thumbs/1.jpg"), "uploads/thumbs/1.jpg");
        let public = Some("https://shop.example/images");
        assert_eq!(link(public, "/jobs/1"), "https://shop.example/images/jobs/1");
        assert_eq!(link(public, "uploads/thumbs/1.jpg"), "https://shop.example/images/uploads/thumbs/1.jpg");
        assert_eq!(link(public, "/thumbnails/a:b.jpg"), "https://shop.example/images/thumbnails/a:b.jpg");
        assert_eq!(link(public, "a?b=c://d"), "https://shop.example/images/a?b=c://d");
        for url in ["https://cdn.example/1.jpg", "//cdn.example/1.jpg", "data:image/png;base64,AA==", "s3:bucket/1.jpg"]
        {
            assert_eq!(link(public, url), url);
        }
    }
}
