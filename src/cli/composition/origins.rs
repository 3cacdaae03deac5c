//! The rules of a server for pages of other origins.

use std::net::IpAddr;

use crate::config::Config;
use crate::http::cors::{Cors, Origins};
use crate::http::site_guard::SiteGuard;

/// `cors.origins`, and the paths that are open to every origin.
pub(crate) fn cors(config: &Config, open_paths: &'static [&'static str]) -> Cors {
    Cors { origins: Origins::new(&config.cors.origins), open_paths }
}

/// The guard of a listener on `host`, if nothing else protects it.
pub(crate) fn site_guard(
    config: &Config,
    host: IpAddr,
    cors: &Cors,
    operator_paths: &'static [&'static str],
) -> Option<SiteGuard> {
    let guard = || SiteGuard::new(cors.clone(), config.serve.public_url.as_deref(), operator_paths);
    config.relies_on_loopback(host).then(guard)
}
