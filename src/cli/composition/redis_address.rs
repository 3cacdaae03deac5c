//! The address of Redis, for processes that are configured with none.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::address_file::{Server, discover};
use crate::config::Config;
use crate::db::Location;

const DEFAULT_REDIS: &str = "redis://127.0.0.1:6379";

/// The URL of Redis for a command that connects once: `redis.url`, else the broker of an `m3a3 up` on the same data,
/// else [`DEFAULT_REDIS`].
pub(crate) fn current(config: &Config) -> String {
    let configured = config.redis.url.as_ref().map(|url| url.expose().to_owned());
    let found = || discover(Location::new(&config.database.path).folder(), Server::Broker);
    configured.or_else(found).unwrap_or_else(|| DEFAULT_REDIS.to_owned())
}

/// Looks the URL up for each connect: the broker of an `m3a3 up` on the same data, else [`DEFAULT_REDIS`]. Once a
/// broker was found, only a broker is accepted: another Redis would not share its channels.
pub(crate) fn lookup(folder: PathBuf) -> impl Fn() -> Option<String> + Send + Sync {
    let had_broker = AtomicBool::new(false);
    move || match discover(&folder, Server::Broker) {
        Some(url) => {
            had_broker.store(true, Ordering::Relaxed);
            Some(url)
        }
        None => (!had_broker.load(Ordering::Relaxed)).then(|| DEFAULT_REDIS.to_owned()),
    }
}
