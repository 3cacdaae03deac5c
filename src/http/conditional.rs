//! Conditional requests (RFC 9110, section 13): clients revalidate a response by its ETag, and get 304 if it has not
//! changed.
//!
//! An ETag is the hash of the whole body, so it is strong, and equal in all processes. A 304 saves the transfer of the
//! response, not its computation.

use actix_web::http::header::{self, EntityTag, HeaderMap};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Problem;

/// Caches revalidate the response each time that they use it.
pub(crate) const REVALIDATED: &str = "no-cache";
/// The same, and only the client itself stores it.
pub(crate) const REVALIDATED_BY_CLIENT: &str = "private, no-cache";

/// The ETag of a body.
pub(super) fn etag(body: &[u8]) -> EntityTag {
    EntityTag::new_strong(BASE64_STANDARD.encode(Sha256::digest(body)))
}

/// 200 with a JSON body, or 304 if the client has it.
///
/// # Errors
/// 500 for a body that JSON cannot express.
pub(crate) fn json(
    request: &HttpRequest,
    caching: &'static str,
    body: &impl Serialize,
) -> Result<HttpResponse, Problem> {
    let body = serde_json::to_vec(body).map_err(Problem::internal)?;
    let etag = etag(&body);
    let is_unchanged = is_unchanged(request.headers(), &etag);
    let mut response = if is_unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((header::CACHE_CONTROL, caching)).insert_header(header::ETag(etag));
    Ok(if is_unchanged { response.finish() } else { response.content_type("application/json").body(body) })
}

/// Whether `If-None-Match` names this ETag, by the weak comparison (RFC 9110, section 13.1.2).
pub(super) fn is_unchanged(headers: &HeaderMap, etag: &EntityTag) -> bool {
    headers.get_all(header::IF_NONE_MATCH).any(|line| names(line.as_bytes(), etag.tag().as_bytes()))
}

/// Whether a list of entity tags, each of which may contain commas, has this opaque tag. Nothing is read after an
/// invalid member; the client then gets the whole response.
fn names(list: &[u8], wanted: &[u8]) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    loop {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let Some(quoted) = rest.strip_prefix(b"W/").unwrap_or(rest).strip_prefix(b"\"") else { return false };
        let Some(end) = quoted.iter().position(|byte| *byte == b'"') else { return false };
        if &quoted[..end] == wanted {
            return true;
        }
        rest = quoted[end + 1..].trim_ascii_start();
        if !rest.starts_with(b",") {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_etag_is_found_in_a_list_by_the_weak_comparison() {
        for (list, is_named) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("*", true),
            (" * ", true),
            ("\"b\", \"a\"", true),
            ("\"b\",W/\"a\" , \"c\"", true),
            ("\"b, c\", \"a\"", true),
            (", ,\"a\"", true),
            ("\"b\"", false),
            ("\"\"", false),
            ("a", false),
            ("w/\"a\"", false),
            ("\"a", false),
            ("\"A\"", false),
            ("\"b\" \"a\"", false),
            ("\"b, \"a\"", false),
            ("\"b\", *", false),
            ("", false),
        ] {
            assert_eq!(names(list.as_bytes(), b"a"), is_named, "{list}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read(list in "[ -~]{0,40}|[W/\"*, a]{0,20}") {
            names(list.as_bytes(), b"a");
        }
    }
}
