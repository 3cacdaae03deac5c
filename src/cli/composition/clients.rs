//! How a server knows its clients, and how much each may request and store.

use crate::config::{self, Config};
use crate::http::client_address::TrustedProxies;
use crate::http::limits::{Limits, Purpose, Rate, Settings};
use crate::images::Quotas;

/// `serve.trusted_proxies`, for both servers.
pub(crate) fn proxies(config: &Config) -> TrustedProxies {
    TrustedProxies::new(&config.serve.trusted_proxies)
}

/// `[limits]`.
pub(crate) fn limits(config: &Config, paths: &'static [(&'static str, Purpose)]) -> Limits {
    let rate = |config::Rate { per_minute, burst }| Rate { per_minute, burst };
    let configured = &config.limits;
    Limits::new(&Settings {
        uploads: rate(configured.uploads),
        scores: rate(configured.scores),
        orders: rate(configured.orders),
        requests: rate(configured.requests),
        user_uploads: rate(configured.user_uploads),
        user_scores: rate(configured.user_scores),
        user_orders: rate(configured.user_orders),
        polls: configured.polls,
        feeds: configured.feeds,
        sockets: configured.sockets,
        held_uploads: configured.held_uploads,
        paths,
    })
}

/// The part of `[limits]` that bounds the rows and bytes of uploads.
pub(super) fn quotas(limits: &config::Limits) -> Quotas {
    Quotas {
        user_bytes: limits.user_bytes,
        user_images: limits.user_images,
        user_keys: limits.user_idempotency_keys,
        users: limits.users,
    }
}
