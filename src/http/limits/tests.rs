use std::net::SocketAddr;

use actix_web::test::TestRequest;

use super::super::client_address::Scheme;
use super::*;

const ONCE: Rate = Rate { per_minute: 1, burst: 1 };

fn limits() -> Limits {
    let paths = &[("/enqueue", Purpose::Upload), ("/score", Purpose::Score), ("/place_order", Purpose::Order)];
    Limits::new(&Settings { uploads: ONCE, scores: ONCE, orders: ONCE, requests: ONCE, paths, ..Settings::default() })
}

/// Whether a second request right after a first one is refused.
fn is_limited(request: impl Fn() -> TestRequest, address: &str, is_backend: bool) -> bool {
    let limits = limits();
    let address = address.parse().unwrap();
    let client = Client { address, scheme: Scheme::Http, is_forwarded: false };
    let admit = || {
        let request = request().peer_addr(SocketAddr::new(address, 1)).to_srv_request();
        limits.admit(request.head(), request.match_info().as_str(), Some(client), is_backend).is_ok()
    };
    assert!(admit());
    !admit()
}

#[test]
fn clients_are_limited_and_backends_loopback_and_monitors_are_not() {
    let get = |path: &'static str| move || TestRequest::with_uri(path);
    for path in ["/status/1", "/enqueue", "/healthz/x"] {
        assert!(is_limited(get(path), "192.0.2.1", false), "{path}");
        assert!(is_limited(get(path), "2001:db8::1", false), "{path}");
        for address in ["127.0.0.1", "127.9.9.9", "::1"] {
            assert!(!is_limited(get(path), address, false), "{path} {address}");
        }
    }
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert!(!is_limited(get(path), "192.0.2.1", false), "{path}");
    }
    assert!(!is_limited(|| TestRequest::with_uri("/enqueue").method(Method::OPTIONS), "192.0.2.1", false));
    let path = "/status/1";
    assert!(!is_limited(get(path), "192.0.2.1", true));
}

#[test]
fn only_a_peer_that_is_not_trusted_is_taken_for_a_proxy_without_configuration() {
    let is_reported = |header: &'static str, is_forwarded| {
        let client = Client { address: "192.0.2.1".parse().unwrap(), scheme: Scheme::Http, is_forwarded };
        let request = TestRequest::default().insert_header((header, "for=192.0.2.1")).to_srv_request();
        ignores_a_client(request.head(), client)
    };
    assert!(is_reported("forwarded", false) && is_reported("x-forwarded-for", false));
    assert!(!is_reported("forwarded", true), "a trusted proxy, whose client claims the address of the proxy");
    assert!(!is_reported("x-forwarded-host", false));
}

#[test]
fn a_loopback_address_that_a_proxy_names_is_limited() {
    let limits = limits();
    let client = Client { address: "127.0.0.1".parse().unwrap(), scheme: Scheme::Http, is_forwarded: true };
    let request = TestRequest::with_uri("/status/1").to_srv_request();
    assert!(limits.admit(request.head(), "/status/1", Some(client), false).is_ok());
    assert!(limits.admit(request.head(), "/status/1", Some(client), false).is_err());
}

#[test]
fn uploads_scores_orders_and_other_requests_are_counted_apart() {
    let limits = limits();
    let client = Client { address: "192.0.2.1".parse().unwrap(), scheme: Scheme::Http, is_forwarded: true };
    let admit = |method: Method, path: &str| {
        let request = TestRequest::with_uri(path).method(method).to_srv_request();
        limits.admit(request.head(), request.match_info().as_str(), Some(client), false).is_ok()
    };
    for admitted in [true, false] {
        for path in ["/enqueue", "/score", "/place_order", "/elsewhere"] {
            assert_eq!(admit(Method::POST, path), admitted, "{path}");
        }
        assert!(!admit(Method::GET, "/enqueue"), "one of the other requests");
    }
    let refused: Vec<_> = limits.refused().into_iter().filter(|sample| sample.value > 0.0).collect();
    assert_eq!(refused.len(), 4, "{refused:?}");
}
