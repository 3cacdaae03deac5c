//! Protection of a server without a token from the web pages that its user visits.
//!
//! Such a server listens on a loopback address only, but a browser on the same machine reaches it for every page:
//!
//! - DNS rebinding: a page whose name resolves to 127.0.0.1 is of the same origin as the server. So the `Host` must be
//!   an IP address, `localhost`, a name without a dot, as containers and proxies have, or a name of the configuration.
//!   The names of an attacker have a dot, except in a local network that the attacker controls.
//! - Cross-site request forgery: a page sends a request that changes something, without reading the response. So a
//!   request of another origin is refused unless `cors.origins` allows it. The rules are those of `CrossOriginProtection`
//!   of Go's `net/http` (2025).

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use actix_web::dev::RequestHead;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use reqwest::Url;

use super::Problem;
use super::cors::{Cors, is_below, without_port};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The longest part of a header in an error message, in characters.
const MAX_SHOWN: usize = 80;

/// The rules of one server.
#[derive(Debug, Clone)]
pub struct SiteGuard {
    cors: Cors,
    own: Option<OwnAddress>,
    operator_paths: &'static [&'static str],
}

/// The address of the server for its clients.
#[derive(Debug, Clone)]
struct OwnAddress {
    host: String,
    origin: String,
}

impl SiteGuard {
    /// The rules for a server with this public URL, if it has one. Other origins may use `operator_paths`, and what is
    /// below them, only if they are listed by name: `*` is not meant for those.
    #[must_use]
    pub fn new(cors: Cors, public_url: Option<&str>, operator_paths: &'static [&'static str]) -> Self {
        let own = public_url.and_then(|url| Url::parse(url).ok()).and_then(|url| {
            Some(OwnAddress { host: url.host_str()?.to_owned(), origin: url.origin().ascii_serialization() })
        });
        Self { cors, own, operator_paths }
    }

    /// Checks a request before its body is read. The path is decoded, as for the routes.
    ///
    /// # Errors
    /// 403 if the host is not one of this server, or if a page of another origin may not send the request.
    pub(super) fn check(&self, request: &RequestHead, path: &str) -> Result<(), Problem> {
        let named = request.headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
        let requested = request.uri.authority().map(|authority| Cow::from(authority.as_str()));
        if let Some(host) = named.into_iter().chain(requested).find(|host| !self.is_own(without_port(host))) {
            return Err(foreign_host(&host));
        }
        let is_operator = self.operator_paths.iter().any(|operator| is_below(path, operator));
        let origin = request.headers.get(header::ORIGIN);
        // A link has no origin, and the page with the link cannot read the response.
        let is_harmless = request.method.is_safe() && (!is_operator || origin.is_none());
        if is_harmless || self.cors.is_open(path) || self.is_of_own_origin(request) {
            return Ok(());
        }
        let is_allowed = origin.is_some_and(|origin| match is_operator {
            true => self.cors.origins.name(origin),
            false => self.cors.origins.allow(origin),
        });
        if is_allowed { Ok(()) } else { Err(foreign_origin(origin)) }
    }

    fn is_own(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_ip = |host: &str| match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => host.parse::<Ipv6Addr>().is_ok(),
            None => host.parse::<Ipv4Addr>().is_ok(),
        };
        let is_local = |host: &str| !host.contains('.') || host.to_ascii_lowercase().ends_with(".localhost");
        is_ip(host)
            || (is_local(host) && host.is_ascii() && !host.starts_with('['))
            || self.cors.origins.name_host(host)
            || self.own.as_ref().is_some_and(|own| own.host.eq_ignore_ascii_case(host))
    }

    /// Whether the request comes from a page of this server, or from no page.
    fn is_of_own_origin(&self, request: &RequestHead) -> bool {
        let origin = request.headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
        if self.own.as_ref().is_some_and(|own| origin == Some(own.origin.as_bytes())) {
            return true;
        }
        match (request.headers.get(&SEC_FETCH_SITE), origin) {
            (Some(site), _) => site == "same-origin" || site == "none",
            (None, None) => true,
            // Older browsers. The scheme may differ, since a proxy may have ended TLS.
            (None, Some(origin)) => {
                let host = request.headers.get(header::HOST).map(HeaderValue::as_bytes);
                let origin_host = origin.windows(3).position(|part| part == b"://").map(|at| &origin[at + 3..]);
                host.is_some() && origin_host == host
            }
        }
    }
}

fn foreign_host(host: &str) -> Problem {
    let shown = shown(host);
    let detail = format!(
        "The Host header is {shown}; without a token, this server accepts only IP addresses, localhost, names without a \
         dot and the hosts of serve.public_url and cors.origins, so that no website can reach it under a name of its own. \
         Set auth.token, or add the origin that clients use to cors.origins."
    );
    Problem::new(StatusCode::FORBIDDEN, detail)
}

fn foreign_origin(origin: Option<&HeaderValue>) -> Problem {
    let shown =
        origin.map_or_else(|| "another site".to_owned(), |origin| shown(&String::from_utf8_lossy(origin.as_bytes())));
    let detail = format!(
        "A page of {shown} sends this request; without a token, this server accepts it only from its own pages. Add the \
         page's origin to cors.origins, or set auth.token."
    );
    Problem::new(StatusCode::FORBIDDEN, detail)
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(MAX_SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::super::cors::Origins;
    use super::*;

    const OWN: &str = "127.0.0.1:3010";

    fn guard(origins: &[&str], public_url: Option<&str>) -> SiteGuard {
        let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
        let cors = Cors { origins: Origins::new(&origins), open_paths: &["/feed"] };
        SiteGuard::new(cors, public_url, &["/seed", "/admin"])
    }

    fn request(method: Method, path: &str, headers: &[(&'static str, &str)]) -> TestRequest {
        headers
            .iter()
            .fold(TestRequest::with_uri(path).method(method), |request, header| request.insert_header(*header))
    }

    fn admits(guard: &SiteGuard, method: Method, path: &str, headers: &[(&'static str, &str)]) -> bool {
        let request = request(method, path, headers).to_srv_request();
        guard.check(request.head(), request.match_info().as_str()).is_ok()
    }

    #[test]
    fn only_addresses_and_local_names_are_hosts_of_this_server() {
        let guarded = guard(&["*"], None);
        let admitted = |host| admits(&guarded, Method::GET, "/", &[("host", host)]);
        for host in [
            "127.0.0.1",
            "127.0.0.1:3010",
            "192.168.1.7:80",
            "[::1]",
            "[::1]:3010",
            "localhost",
            "LOCALHOST:3010",
            "localhost.",
            "app.localhost:3010",
            "m3a3",
            "x",
            "",
        ] {
            assert!(admitted(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:3010",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.example.",
            "127.0.0.1@evil.example",
            "[evil.example]",
            "[::1",
            "127.1",
            "evil.example:x",
        ] {
            assert!(!admitted(host), "{host}");
        }
        assert!(admits(&guarded, Method::GET, "/", &[]));
        assert!(!admits(&guarded, Method::GET, "http://evil.example/", &[("host", OWN)]));
        let not_ascii = HeaderValue::from_bytes(b"evil\xff").unwrap();
        let not_ascii = TestRequest::get().insert_header((header::HOST, not_ascii)).to_srv_request();
        assert!(guarded.check(not_ascii.head(), "/").is_err());
        let rebound = request(Method::GET, "/", &[("host", "evil.example")]).to_srv_request();
        let refused = guarded.check(rebound.head(), "/");
        assert!(refused.unwrap_err().to_string().starts_with("The Host header is \"evil.example\"; without a token"));
    }

    #[test]
    fn a_listed_origin_is_a_host_of_this_server() {
        let listed = guard(&["*", "https://game.example:8443", "http://[2001:db8::1]"], None);
        let admitted = |host| admits(&listed, Method::GET, "/", &[("host", host)]);
        assert!(admitted("game.example") && admitted("Game.example:80") && admitted("[2001:db8::1]"));
        assert!(!admitted("other.example") && !admitted("evil.game.example"));
    }

    #[test]
    fn the_public_url_is_a_host_and_an_origin_of_this_server() {
        let public = guard(&[], Some("https://images.example/m3a3"));
        let own = [("host", "images.example"), ("origin", "https://images.example"), ("sec-fetch-site", "cross-site")];
        assert!(admits(&public, Method::POST, "/enqueue", &own));
        assert!(!admits(&public, Method::POST, "/enqueue", &[("host", OWN), ("origin", "http://images.example")]));
    }

    #[test]
    fn a_page_of_another_origin_can_read_but_changes_nothing() {
        let guarded = guard(&[], None);
        let evil = [("host", OWN), ("origin", "http://evil.example")];
        let cross_site = [("host", OWN), ("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
        let same_site =
            [("host", "localhost:3010"), ("origin", "http://localhost:3000"), ("sec-fetch-site", "same-site")];
        let sandboxed = [("host", OWN), ("origin", "null")];
        let hidden = [("host", OWN), ("sec-fetch-site", "cross-site")];
        for headers in [&evil[..], &cross_site, &same_site, &sandboxed, &hidden] {
            for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                assert!(!admits(&guarded, method.clone(), "/score", headers), "{method} {headers:?}");
                assert!(admits(&guarded, method, "/feed/x", headers), "{headers:?}");
            }
            assert!(admits(&guarded, Method::GET, "/leaderboard", headers), "{headers:?}");
            let is_link = !headers.iter().any(|(name, _)| *name == "origin");
            assert_eq!(admits(&guarded, Method::GET, "/admin/jobs", headers), is_link, "{headers:?}");
        }
    }

    #[test]
    fn pages_of_this_server_and_other_programs_are_admitted() {
        let guarded = guard(&[], None);
        let page = [("host", OWN), ("origin", "http://127.0.0.1:3010"), ("sec-fetch-site", "same-origin")];
        let older = [("host", OWN), ("origin", "http://127.0.0.1:3010")];
        let behind_a_proxy = [("host", OWN), ("origin", "https://a.example"), ("sec-fetch-site", "same-origin")];
        for headers in [&page[..], &older, &behind_a_proxy, &[("host", OWN)], &[]] {
            assert!(admits(&guarded, Method::POST, "/seed", headers), "{headers:?}");
        }
    }

    #[test]
    fn a_listed_origin_is_admitted_and_the_wildcard_excludes_operator_paths() {
        let shop = [("host", OWN), ("origin", "https://shop.example"), ("sec-fetch-site", "cross-site")];
        for (origins, score, seed) in [
            (&["https://shop.example"][..], true, true),
            (&["*"], true, false),
            (&["*", "https://shop.example"], true, true),
            (&["https://other.example"], false, false),
        ] {
            let guarded = guard(origins, None);
            assert_eq!(admits(&guarded, Method::POST, "/score", &shop), score, "{origins:?}");
            for path in ["/seed", "/%73eed", "/%61dmin/jobs"] {
                assert_eq!(admits(&guarded, Method::POST, path, &shop), seed, "{path}: {origins:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_public_name_is_never_a_host_of_this_server(
            name in "[a-z0-9-]{1,9}(\\.[a-z0-9-]{1,9}){0,3}\\.(com|example|local|internal)",
            rest in "(:[0-9]{1,5})?",
        ) {
            let host = format!("{name}{rest}");
            prop_assert!(!admits(&guard(&[], None), Method::GET, "/", &[("host", &host)]));
        }
    }
}
