//! The URL with which the links begin that confirm email addresses.

use std::net::SocketAddr;

use super::server_address::local_url;
use crate::config::Config;
use crate::users::Confirmation;

/// How user tokens set the email address on an API server that listens on this address: by links below
/// `serve.public_url`. Without it, only a server for this machine knows its URL: one on a loopback address that no
/// proxy makes public.
pub(crate) fn confirmation(config: &Config, address: SocketAddr) -> Confirmation {
    let is_local = address.ip().to_canonical().is_loopback() && config.serve.trusted_proxies.is_empty();
    match &config.serve.public_url {
        _ if !config.email.confirm => Confirmation::Off,
        Some(url) => Confirmation::Links(url.as_str().into()),
        None if is_local => Confirmation::Links(local_url(config, address).into()),
        None => Confirmation::NoUrl,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn of(settings: &[(&str, &str)], address: &str) -> Confirmation {
        let mut overrides = Overrides::default();
        for (key, value) in settings {
            overrides.set(key, value, "--set");
        }
        confirmation(&Config::load(&overrides).unwrap(), address.parse().unwrap())
    }

    #[test]
    fn links_begin_with_the_public_url_or_that_of_a_local_server() {
        let links = |url: &str| Confirmation::Links(url.into());
        let (local, every) = ("127.0.0.1:3010", "0.0.0.0:3010");
        let public = ("serve.public_url", "https://shop.example/images/");
        for address in [local, every] {
            assert_eq!(of(&[public], address), links("https://shop.example/images"));
            assert_eq!(of(&[public, ("email.confirm", "false")], address), Confirmation::Off);
        }
        assert_eq!(of(&[], local), links("http://127.0.0.1:3010"));
        assert_eq!(of(&[], "[::1]:3010"), links("http://[::1]:3010"));
        assert_eq!(of(&[], every), Confirmation::NoUrl);
        assert_eq!(of(&[("serve.trusted_proxies", "127.0.0.1")], local), Confirmation::NoUrl);
    }
}
