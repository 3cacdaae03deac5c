//! Pages for browsers: one embedded HTML file each, with its script and its style inside.
//!
//! The Content Security Policy (level 3) allows exactly this script and this style, by their hashes, and forbids to
//! turn strings into markup (trusted types). User content is therefore always rendered as text.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, Resource};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::resource::get;
use super::static_content::StaticContent;

/// A resource that serves the page. It needs no token, since a page contains no data.
pub(crate) fn page(path: &str, html: impl Into<String>) -> Resource {
    let html = html.into();
    let (policy, page) = (policy(&html, "'none'"), StaticContent::new("text/html; charset=utf-8", html));
    get(path, move |request: HttpRequest| {
        let mut response = page.respond(&request);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        async { response }
    })
}

/// A page about one request, which caches must not store. Its form can be sent to this server alone. The HTML contains no
/// text of clients that is not escaped.
pub(crate) fn form_page(status: StatusCode, html: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy(&html, "'self'")))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(html)
}

fn policy(html: &str, form_action: &str) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; script-src{scripts}; style-src{styles}; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action {form_action}; frame-ancestors 'none'; require-trusted-types-for 'script'",
        scripts = hashes(html, "<script>", "</script>"),
        styles = hashes(html, "<style>", "</style>"),
    );
    // If the policy is not a valid header value, nothing on the page may run.
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// The hashes of everything between these tags, in the form of the policy.
fn hashes(html: &str, open: &str, close: &str) -> String {
    let parts = html.split(open).skip(1).filter_map(|rest| rest.split(close).next());
    parts.map(|part| format!(" 'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(part)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_hash_of_each_script_and_style() {
        let policy = policy("<style>a</style><script>b</script><p>x</p><script>c</script>", "'none'");
        let policy = policy.to_str().unwrap();
        let b = "'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0='";
        let c = "'sha256-Ln0sA6lQeuJl7PW1NWiFpTOTogKdJBOUmXJloaJa78Y='";
        assert!(policy.contains(&format!("script-src {b} {c};")), "{policy}");
        assert!(policy.contains("style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=';"), "{policy}");
    }
}
