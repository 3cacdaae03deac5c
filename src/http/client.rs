//! The settings that all HTTP clients of m3a3 share.

use std::net::IpAddr;

use reqwest::{ClientBuilder, Url, redirect};

/// A builder of clients for this server. They follow no redirects, and use the proxy of the environment (`HTTP_PROXY`,
/// `HTTPS_PROXY`, `NO_PROXY`), except for loopback addresses.
///
/// For `https`, `build` fails on a machine without a certificate store.
pub(crate) fn builder(server: &Url) -> ClientBuilder {
    let mut client = reqwest::Client::builder()
        .user_agent(concat!("m3a3/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none());
    if server.scheme() == "http" {
        // A machine without a certificate store must be able to talk plain HTTP.
        client = client.tls_certs_only([]);
    }
    if is_loopback(server) {
        client = client.no_proxy();
    }
    client
}

/// A builder of clients for a server of this installation on this machine.
///
/// A certificate is not verified: it is for the name by which other clients know the server, while this client uses its
/// local address. Plain HTTP to that address would not be verified either.
pub(crate) fn builder_for_this_machine(server: &Url) -> ClientBuilder {
    builder(server).tls_certs_only([]).tls_danger_accept_invalid_certs(true)
}

/// Checks that the servers of `https` URLs can be verified.
///
/// # Errors
/// On a machine without CA certificates.
pub(crate) fn check_certificates() -> Result<(), reqwest::Error> {
    reqwest::Client::builder().build().map(drop)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_use_no_proxy() {
        for (url, loopback) in
            [("http://localhost:1", true), ("http://127.0.0.2", true), ("http://[::1]:1", true), ("http://h", false)]
        {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), loopback, "{url}");
        }
    }
}
