//! The URLs of the API server and the game server, for commands on the same data.
//!
//! Owns their address files in the data directory.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::bail;
use reqwest::Url;

use crate::address_file::{AddressFile, Server, discover};
use crate::config::Config;
use crate::db::Location;

/// Publishes the URL of a server that accepts connections. A failure is logged: only commands without `--url` need it.
pub(crate) fn publish(config: &Config, server: Server, address: SocketAddr) -> Option<AddressFile> {
    let location = Location::new(&config.database.path);
    AddressFile::publish(location.folder(), server, &local_url(config, address))
        .inspect_err(|error| {
            let folder = location.folder().display();
            tracing::warn!(%folder, %error, "cannot write the address of a server; commands do not find it");
        })
        .ok()
}

/// The URL of a listener, as its process prints it.
pub(crate) fn listener_url(config: &Config, address: SocketAddr) -> String {
    format!("{}://{address}", scheme(config))
}

/// The URL of a listener for a client on this machine.
pub(crate) fn local_url(config: &Config, address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    listener_url(config, SocketAddr::new(ip, address.port()))
}

/// The scheme of both servers.
fn scheme(config: &Config) -> &'static str {
    if config.serve.tls.is_some() { "https" } else { "http" }
}

/// The URL of a server for a command without `--url`: the port that a flag or the environment sets, else that of a
/// running server on the same data, else the configured port. `.env` and `config/*.toml` come last, since the running
/// server has read them too, and its flags override them. The host is that of the running server if it has this port.
pub(crate) fn current(config: &Config, server: Server) -> anyhow::Result<String> {
    let (key, port, command) = match server {
        Server::Game => ("game.port", config.game.port, "m3a3 game-server"),
        Server::Api | Server::Broker => ("serve.port", config.serve.port, "m3a3 serve"),
    };
    let configured = format!("{}://localhost:{port}", scheme(config));
    let is_explicit = config
        .entries()
        .iter()
        .any(|entry| entry.key == key && ["environment", "--"].iter().any(|origin| entry.origin.starts_with(origin)));
    let folder = Location::new(&config.database.path).folder().to_owned();
    match discover(&folder, server) {
        // The running server may listen on another host than localhost.
        Some(url) if is_explicit && port != 0 && port_of(&url) != Some(port) => Ok(configured),
        Some(url) => Ok(url),
        None if port != 0 => Ok(configured),
        None => bail!(
            "{key} is 0, and no server runs on the data in {} (start `m3a3 up` or `{command}`, or pass --url)",
            folder.display()
        ),
    }
}

fn port_of(url: &str) -> Option<u16> {
    Url::parse(url).ok()?.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Overrides;

    fn config(folder: &Path, port: Option<&str>) -> Config {
        Config::load(&overrides(folder, port)).unwrap()
    }

    fn overrides(folder: &Path, port: Option<&str>) -> Overrides {
        let mut overrides = Overrides::default();
        overrides.set("database.url", folder.join("m3a3.db").to_str().unwrap(), "--database-url");
        if let Some(port) = port {
            overrides.set("serve.port", port, "--set");
        }
        overrides
    }

    #[test]
    fn the_running_server_comes_before_a_default_port_and_after_an_explicit_one() {
        let folder = tempfile::tempdir().unwrap();
        let current = |port| current(&config(folder.path(), port), Server::Api);
        assert_eq!(current(None).unwrap(), "http://localhost:3010");
        assert!(
            current(Some("0")).unwrap_err().to_string().ends_with("(start `m3a3 up` or `m3a3 serve`, or pass --url)")
        );

        let published = publish(&config(folder.path(), None), Server::Api, "0.0.0.0:7".parse().unwrap());
        assert!(published.is_some());
        assert_eq!(current(None).unwrap(), "http://127.0.0.1:7");
        assert_eq!(current(Some("0")).unwrap(), "http://127.0.0.1:7");
        assert_eq!(current(Some("3012")).unwrap(), "http://localhost:3012");
        let elsewhere = publish(&config(folder.path(), None), Server::Api, "192.0.2.1:80".parse().unwrap());
        assert_eq!(current(Some("80")).unwrap(), "http://192.0.2.1:80", "the host of the running server");
        assert_eq!(current(Some("3012")).unwrap(), "http://localhost:3012");
        drop((published, elsewhere));
        assert_eq!(current(None).unwrap(), "http://localhost:3010");
    }

    #[test]
    fn a_listener_on_every_address_is_reached_at_the_loopback_address() {
        for (address, url) in [
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:1", "http://[::1]:1"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ] {
            assert_eq!(local_url(&config(Path::new("."), None), address.parse().unwrap()), url);
        }
    }

    #[test]
    fn with_tls_the_url_is_https() {
        let folder = tempfile::tempdir().unwrap();
        let mut overrides = overrides(folder.path(), None);
        for key in ["serve.tls.cert", "serve.tls.key"] {
            overrides.set(key, "file.pem", "--set");
        }
        let config = Config::load(&overrides).unwrap();
        assert_eq!(current(&config, Server::Api).unwrap(), "https://localhost:3010");
        assert_eq!(local_url(&config, "0.0.0.0:1".parse().unwrap()), "https://127.0.0.1:1");
        let _published = publish(&config, Server::Game, "[::1]:7".parse().unwrap());
        assert_eq!(current(&config, Server::Game).unwrap(), "https://[::1]:7");
    }
}
