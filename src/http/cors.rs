//! Cross-origin resource sharing (Fetch standard, section 3.3): which pages of other origins may read responses.
//!
//! Never allows credentials: m3a3 knows bearer tokens only, which pages send themselves.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::body::BoxBody;
use actix_web::dev::{RequestHead, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

const ANY: &str = "*";
/// How long browsers may remember a preflight response, in seconds; the longest that Chromium accepts.
const PREFLIGHT_S: HeaderValue = HeaderValue::from_static("7200");
/// The headers that pages may read, besides the common ones.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Allow, Content-Range, ETag, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id",
);
/// What a preflight response depends on.
const PREFLIGHT_VARY: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// The origins whose pages may read responses; a clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    any: bool,
    named: Arc<[String]>,
}

impl Origins {
    /// Origins as browsers send them, such as `https://example.org`, or `*` for all.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        let named = origins.iter().filter(|origin| *origin != ANY).cloned().collect();
        Self { any: origins.iter().any(|origin| origin == ANY), named }
    }

    /// Whether the origin is listed, by name or with `*`.
    pub(super) fn allow(&self, origin: &HeaderValue) -> bool {
        self.any || self.name(origin)
    }

    /// Whether the origin is listed by name.
    pub(super) fn name(&self, origin: &HeaderValue) -> bool {
        self.named.iter().any(|named| named.as_bytes() == origin.as_bytes())
    }

    /// Whether an origin with this host, and any port, is listed by name.
    pub(super) fn name_host(&self, host: &str) -> bool {
        let authorities = self.named.iter().filter_map(|named| named.split_once("://")).map(|(_, authority)| authority);
        authorities.map(without_port).any(|named| named.eq_ignore_ascii_case(host))
    }
}

/// The rules of one server.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    /// Allowed on all paths.
    pub origins: Origins,
    /// Paths that every origin may use, with everything below them.
    pub open_paths: &'static [&'static str],
}

impl Cors {
    /// Whether every origin may use this path.
    pub(super) fn is_open(&self, path: &str) -> bool {
        self.open_paths.iter().any(|open| is_below(path, open))
    }

    /// The headers that the response to a request for this path needs. The path is decoded, as for the routes.
    pub(super) fn headers(&self, request: &RequestHead, path: &str) -> CorsHeaders {
        let any = self.origins.any || self.is_open(path);
        if !any && self.origins.named.is_empty() {
            return CorsHeaders(None);
        }
        let origin = request.headers.get(header::ORIGIN);
        let allowed = match any {
            true => Some(HeaderValue::from_static(ANY)),
            false => origin.filter(|origin| self.origins.name(origin)).cloned(),
        };
        let is_preflight = origin.is_some()
            && request.method == Method::OPTIONS
            && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = is_preflight.then(|| request.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned());
        CorsHeaders(Some(Box::new(Headers { allowed, varies: !any, preflight })))
    }
}

/// Whether a path is `parent`, or below it.
pub(super) fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The host of an authority, without its port.
pub(super) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The headers for one response. Boxed, since held requests keep them.
#[derive(Debug)]
pub(super) struct CorsHeaders(Option<Box<Headers>>);

#[derive(Debug)]
struct Headers {
    /// The value of `Access-Control-Allow-Origin`.
    allowed: Option<HeaderValue>,
    /// Whether another origin would get another response.
    varies: bool,
    /// For a preflight, the headers that the page wants to send.
    preflight: Option<Option<HeaderValue>>,
}

impl CorsHeaders {
    pub(super) fn add_to(self, mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        if let Some(headers) = self.0 {
            headers.add_to(response.response_mut());
        }
        response
    }
}

impl Headers {
    fn add_to(self, response: &mut HttpResponse) {
        let succeeded = response.status().is_success();
        let headers = response.headers_mut();
        match self.preflight {
            Some(wanted) if succeeded => {
                headers.append(header::VARY, PREFLIGHT_VARY);
                if let Some(allowed) = self.allowed {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
                    permit(headers, wanted);
                }
            }
            _ => {
                if self.varies {
                    headers.append(header::VARY, HeaderValue::from_static("Origin"));
                }
                if let Some(allowed) = self.allowed {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
                    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
                }
            }
        }
    }
}

/// Permits the methods of the resource and the wanted headers. No request header has an effect that a page must not
/// have, and `*` would not cover `Authorization`.
fn permit(headers: &mut HeaderMap, wanted: Option<HeaderValue>) {
    let mut copy = |to: HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(to, value);
        }
    };
    copy(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    copy(header::ACCESS_CONTROL_MAX_AGE, Some(PREFLIGHT_S));
    let methods = headers.get(header::ALLOW).cloned();
    if let Some(methods) = methods {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    use super::*;

    const SHOP: &str = "https://shop.example";

    fn cors(origins: &[&str]) -> Cors {
        let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
        Cors { origins: Origins::new(&origins), open_paths: &["/feed"] }
    }

    fn answered(cors: &Cors, request: TestRequest, status: StatusCode) -> HeaderMap {
        let request = request.to_srv_request();
        let headers = cors.headers(request.head(), request.path());
        let response = HttpResponse::build(status).insert_header((header::ALLOW, "POST")).finish();
        headers.add_to(request.into_response(response)).headers().clone()
    }

    fn text(headers: &HeaderMap, name: HeaderName) -> &str {
        headers.get(name).unwrap().to_str().unwrap()
    }

    fn get(origin: &'static str) -> TestRequest {
        TestRequest::get().uri("/status/1").insert_header((header::ORIGIN, origin))
    }

    fn preflight(origin: &'static str) -> TestRequest {
        TestRequest::with_uri("/score")
            .method(Method::OPTIONS)
            .insert_header((header::ORIGIN, origin))
            .insert_header((header::ACCESS_CONTROL_REQUEST_METHOD, "POST"))
            .insert_header((header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization, content-type"))
    }

    #[test]
    fn without_origins_only_open_paths_have_headers() {
        assert!(!answered(&cors(&[]), get(SHOP), StatusCode::OK).contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
        for (path, open) in [("/feed", true), ("/feed/x", true), ("/feeds", false), ("/", false)] {
            let headers = answered(&cors(&[]), TestRequest::with_uri(path), StatusCode::OK);
            assert_eq!(
                headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|value| value == "*"),
                open,
                "{path}"
            );
            assert!(!headers.contains_key(header::VARY), "{path}");
        }
    }

    #[test]
    fn a_listed_origin_may_read_responses_and_others_may_not() {
        let listed = cors(&["https://other.example", SHOP]);
        for status in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
            let headers = answered(&listed, get(SHOP), status);
            assert_eq!(text(&headers, header::ACCESS_CONTROL_ALLOW_ORIGIN), SHOP);
            assert!(
                text(&headers, header::ACCESS_CONTROL_EXPOSE_HEADERS).split(", ").any(|name| name == "Retry-After")
            );
            assert_eq!(text(&headers, header::VARY), "Origin");
            assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        }
        for origin in ["https://shop.example.evil.example", "http://shop.example", "https://shop.example:444", "null"] {
            let headers = answered(&listed, get(origin), StatusCode::OK);
            assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
            assert_eq!(text(&headers, header::VARY), "Origin", "{origin}");
        }
    }

    #[test]
    fn a_preflight_permits_the_methods_of_the_resource_and_any_header() {
        let headers = answered(&cors(&[SHOP]), preflight(SHOP), StatusCode::NO_CONTENT);
        assert_eq!(text(&headers, header::ACCESS_CONTROL_ALLOW_ORIGIN), SHOP);
        assert_eq!(text(&headers, header::ACCESS_CONTROL_ALLOW_METHODS), "POST");
        assert_eq!(text(&headers, header::ACCESS_CONTROL_ALLOW_HEADERS), "authorization, content-type");
        assert_eq!(text(&headers, header::ACCESS_CONTROL_MAX_AGE), "7200");
        assert_eq!(text(&headers, header::VARY), PREFLIGHT_VARY.to_str().unwrap());

        let any = answered(&cors(&["*"]), preflight("null"), StatusCode::NO_CONTENT);
        assert_eq!(text(&any, header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");

        for (cors, status) in [(cors(&[]), StatusCode::NO_CONTENT), (cors(&["https://other.example"]), StatusCode::OK)]
        {
            let headers = answered(&cors, preflight(SHOP), status);
            assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
            assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS));
        }
        let unknown = answered(&cors(&[SHOP]), preflight(SHOP), StatusCode::NOT_FOUND);
        assert!(!unknown.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS));
    }
}
