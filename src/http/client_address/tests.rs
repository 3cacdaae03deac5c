use std::net::SocketAddr;

use actix_web::test::TestRequest;
use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";

fn trusted() -> TrustedProxies {
    TrustedProxies::new(&["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()))
}

fn client(peer: &str, headers: &[(&'static str, &str)]) -> Client {
    let peer = SocketAddr::new(peer.parse().unwrap(), 1);
    let request =
        headers.iter().fold(TestRequest::default().peer_addr(peer), |request, header| request.append_header(*header));
    trusted().client(request.to_srv_request().head(), Scheme::Http).unwrap()
}

/// The client of a request from a trusted proxy.
fn behind_proxy(headers: &[(&'static str, &str)]) -> String {
    let Client { address, scheme, .. } = client(PROXY, headers);
    format!("{} {address}", scheme.name())
}

#[test]
fn only_a_trusted_peer_names_the_client() {
    for (peer, expected) in [
        (PROXY, "192.0.2.7"),
        ("::ffff:10.9.9.9", "192.0.2.7"),
        ("fd00::1", "192.0.2.7"),
        ("11.0.0.1", "11.0.0.1"),
        ("::ffff:11.0.0.1", "11.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
    ] {
        for (name, value) in [("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=192.0.2.7")] {
            assert_eq!(client(peer, &[(name, value)]).address.to_string(), expected, "{peer} {name}");
        }
    }
    assert_eq!(TrustedProxies::default().client(TestRequest::default().to_srv_request().head(), Scheme::Http), None);
}

#[test]
fn the_last_address_that_is_not_trusted_is_the_client() {
    for (value, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("203.0.113.1, 192.0.2.7", "192.0.2.7"),
        ("203.0.113.1, 192.0.2.7, 10.0.0.2,fd00::2", "192.0.2.7"),
        ("203.0.113.1,192.0.2.7:4711", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        // All are trusted: the first one.
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        // An invalid entry ends the walk.
        ("192.0.2.7, unknown", PROXY),
        ("192.0.2.7, _hidden, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.7,", PROXY),
        ("192.0.2.7, 192.0.2.999", PROXY),
        ("192.0.2.7, 192.0.2.7:99999", PROXY),
        ("192.0.2.7, [2001:db8::7", PROXY),
        ("192.0.2.7, [192.0.2.7]", PROXY),
        ("192.0.2.7, fe80::1%eth0", PROXY),
        ("", PROXY),
    ] {
        assert_eq!(client(PROXY, &[("x-forwarded-for", value)]).address.to_string(), expected, "{value}");
    }
    let lines = [("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "192.0.2.7, 10.0.0.2")];
    assert_eq!(client(PROXY, &lines).address.to_string(), "192.0.2.7");
}

#[test]
fn elements_of_forwarded_are_read_as_in_rfc_7239() {
    for (value, expected) in [
        ("for=192.0.2.7", "http 192.0.2.7"),
        ("For=\"[2001:db8::7]:4711\"", "http 2001:db8::7"),
        ("for=192.0.2.7;proto=https;by=203.0.113.43", "https 192.0.2.7"),
        ("for=203.0.113.1;proto=https, for=192.0.2.7;proto=http", "http 192.0.2.7"),
        ("for=203.0.113.1, proto=https;for=192.0.2.7 , for=10.0.0.2", "https 192.0.2.7"),
        ("host=\"a,b;c\\\"\";for=192.0.2.7", "http 192.0.2.7"),
        ("for=\"192.0.2.\\7\"", "http 192.0.2.7"),
        ("for=192.0.2.7, for=\"_gazonk\"", "http 10.0.0.1"),
        ("for=192.0.2.7, for=unknown", "http 10.0.0.1"),
        ("for=192.0.2.7, proto=https", "http 10.0.0.1"),
        ("for=192.0.2.7;for=192.0.2.8", "http 10.0.0.1"),
        ("for=192.0.2.7 for=192.0.2.8", "http 10.0.0.1"),
        ("for=\"192.0.2.7", "http 10.0.0.1"),
        ("192.0.2.7", "http 10.0.0.1"),
    ] {
        assert_eq!(behind_proxy(&[("forwarded", value)]), expected, "{value}");
    }
}

#[test]
fn an_open_quote_of_a_client_does_not_hide_the_address_that_the_proxy_adds() {
    for start in ["for=\"", "for=\"192.0.2.1", "host=\"\\", "for=\"\\\"", "\",for=192.0.2.1,\""] {
        for added in ["for=203.0.113.9", "for=\"203.0.113.9:80\";by=\"[fd00::1]\""] {
            assert_eq!(behind_proxy(&[("forwarded", &format!("{start}, {added}"))]), "http 203.0.113.9", "{start}");
        }
    }
}

#[test]
fn two_fields_that_name_different_clients_do_not_count() {
    let fields = |older, forwarded| [("x-forwarded-for", older), ("forwarded", forwarded)];
    assert_eq!(behind_proxy(&fields("192.0.2.7", "for=192.0.2.7;proto=https")), "https 192.0.2.7");
    assert_eq!(behind_proxy(&fields("192.0.2.7", "for=203.0.113.1")), "http 10.0.0.1");
    assert_eq!(behind_proxy(&fields("192.0.2.7", "for=unknown")), "http 10.0.0.1");
    assert!(client(PROXY, &fields("192.0.2.7", "for=203.0.113.1")).is_forwarded);
}

#[test]
fn bytes_that_are_not_text_do_not_hide_the_address_that_the_proxy_adds() {
    for (name, value) in [
        ("x-forwarded-for", &b"\xff, 203.0.113.9"[..]),
        ("forwarded", b"for=\xff, for=203.0.113.9"),
        ("forwarded", b"host=\"\xff, for=203.0.113.9"),
    ] {
        let value = header::HeaderValue::from_bytes(value).unwrap();
        let peer = SocketAddr::new(PROXY.parse().unwrap(), 1);
        let request = TestRequest::default().peer_addr(peer).append_header((name, value)).to_srv_request();
        assert_eq!(
            trusted().client(request.head(), Scheme::Http).unwrap().address.to_string(),
            "203.0.113.9",
            "{name}"
        );
    }
}

#[test]
fn only_a_forwarded_address_may_be_claimed() {
    assert!(client(PROXY, &[("x-forwarded-for", "127.0.0.1")]).is_forwarded);
    assert!(client(PROXY, &[("forwarded", "unknown")]).is_forwarded);
    assert!(!client(PROXY, &[]).is_forwarded);
    assert!(!client("11.0.0.1", &[("x-forwarded-for", "127.0.0.1")]).is_forwarded);
}

#[test]
fn the_scheme_is_that_of_the_client_or_of_the_nearest_proxy_that_names_one() {
    for (addresses, schemes, expected) in [
        ("192.0.2.7", "https", "https 192.0.2.7"),
        ("192.0.2.7", "HTTPS", "https 192.0.2.7"),
        ("192.0.2.7, 10.0.0.2", "https", "https 192.0.2.7"),
        ("192.0.2.7, 10.0.0.2", "https, http", "https 192.0.2.7"),
        ("203.0.113.1, 192.0.2.7", "https, http", "http 192.0.2.7"),
        ("192.0.2.7", "gopher", "http 192.0.2.7"),
    ] {
        let headers = [("x-forwarded-for", addresses), ("x-forwarded-proto", schemes)];
        assert_eq!(behind_proxy(&headers), expected, "{addresses} {schemes}");
    }
}

#[test]
fn a_connection_with_tls_is_https_unless_a_trusted_proxy_names_another_scheme() {
    let scheme = |peer: &str, headers: &[(&'static str, &str)]| {
        let request = TestRequest::default().peer_addr(SocketAddr::new(peer.parse().unwrap(), 1));
        let request = headers.iter().fold(request, |request, header| request.append_header(*header));
        trusted().client(request.to_srv_request().head(), Scheme::Https).unwrap().scheme
    };
    let forwarded = [("x-forwarded-for", "192.0.2.7"), ("x-forwarded-proto", "http")];
    assert_eq!(scheme(PROXY, &[]), Scheme::Https);
    assert_eq!(scheme("192.0.2.7", &forwarded), Scheme::Https);
    assert_eq!(scheme(PROXY, &forwarded[..1]), Scheme::Https);
    assert_eq!(scheme(PROXY, &forwarded), Scheme::Http);
}

#[test]
fn a_chain_of_ten_thousand_entries_is_read_no_further_than_needed() {
    for (name, entry) in [("x-forwarded-for", "10.0.0.2"), ("forwarded", "for=10.0.0.2"), ("forwarded", "\\\"")] {
        let value = vec![entry; 10_000].join(",");
        assert!(trusted().trust(client(PROXY, &[(name, &value)]).address), "{name}");
    }
}

proptest! {
    #[test]
    fn no_field_makes_an_address_of_nothing(
        value in "[ -~]{0,60}|([for=\"\\\\\\[\\];:,.0-9a-f_ ]{0,80})",
        address in any::<std::net::Ipv4Addr>(),
    ) {
        for name in ["x-forwarded-for", "forwarded"] {
            client(PROXY, &[(name, &value)]);
        }
        // Whatever a client sends, a proxy's own entry counts, unless it is of a proxy itself.
        prop_assume!(!trusted().trust(address.into()));
        for (name, added) in [
            ("x-forwarded-for", format!("{value}, {address}")),
            ("forwarded", format!("{value}, for={address}")),
            ("forwarded", format!("{value}, for=\"{address}:80\"")),
        ] {
            prop_assert_eq!(client(PROXY, &[(name, &added)]).address, IpAddr::from(address));
        }
    }
}
