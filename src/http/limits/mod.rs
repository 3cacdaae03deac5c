//! Limits of requests: rates by client address and by user, and numbers of held connections by client address.
//!
//! A limit by address is checked before a request is routed, so before its body is read. The handler checks the limit
//! by user, once it has parsed the user. Requests with a token of the server are a backend's, which speaks for many
//! clients, and loopback addresses may be those of a proxy that is not configured: neither has limits by address. A
//! limit that is off costs one comparison.

mod address_key;
mod concurrency_limit;
mod key_table;
mod rate_limit;
mod refusal;
mod stored;

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::{RequestHead, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::web::Data;
use actix_web::{HttpMessage, HttpRequest};

pub(super) use self::address_key::AddressKey;
pub(crate) use self::concurrency_limit::ConcurrencyGuard;
use self::concurrency_limit::ConcurrencyLimit;
pub use self::rate_limit::Rate;
use self::rate_limit::RateLimit;
pub(crate) use self::refusal::{Quota, stored_data as refused};
use self::stored::StoredCounts;
pub(crate) use self::stored::StoredLimit;
use super::Problem;
use super::client_address::Client;
use super::metrics::Sample;

/// Paths that monitors and load balancers request.
const UNLIMITED: [&str; 3] = ["/healthz", "/readyz", super::metrics::PATH];

/// The limits of one server.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Uploads of an address.
    pub uploads: Rate,
    /// Scores of an address.
    pub scores: Rate,
    /// Orders of an address.
    pub orders: Rate,
    /// All other requests of an address.
    pub requests: Rate,
    /// Uploads for a user.
    pub user_uploads: Rate,
    /// Scores for a user.
    pub user_scores: Rate,
    /// Orders for a user.
    pub user_orders: Rate,
    /// Long polls that an address holds; 0 for any number.
    pub polls: u32,
    /// Open feeds of an address; 0 for any number.
    pub feeds: u32,
    /// Socket.IO sessions of an address; 0 for any number.
    pub sockets: u32,
    /// Uploads of an address that are in progress; 0 for any number.
    pub held_uploads: u32,
    /// The paths of POST requests with a limit of their own.
    pub paths: &'static [(&'static str, Purpose)],
}

/// The purpose of a POST request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An image.
    Upload,
    /// A score.
    Score,
    /// An order.
    Order,
}

/// The limits of one server; a clone shares them.
#[derive(Clone)]
pub struct Limits(Arc<Shared>);

struct Shared {
    uploads: RateLimit,
    scores: RateLimit,
    orders: RateLimit,
    requests: RateLimit,
    user_uploads: RateLimit,
    user_scores: RateLimit,
    user_orders: RateLimit,
    polls: ConcurrencyLimit,
    feeds: ConcurrencyLimit,
    sockets: ConcurrencyLimit,
    held_uploads: ConcurrencyLimit,
    stored: StoredCounts,
    paths: &'static [(&'static str, Purpose)],
    has_limits_by_address: bool,
    has_warned: AtomicBool,
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Limits {
    /// The limits of these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let Settings { uploads, scores, orders, requests, polls, feeds, sockets, held_uploads, .. } = *settings;
        let rates = [uploads, scores, orders, requests];
        let numbers = [polls, feeds, sockets, held_uploads];
        let has_limits_by_address = rates.iter().any(|rate| rate.is_on()) || numbers != [0; 4];
        Self(Arc::new(Shared {
            uploads: RateLimit::new("upload", "uploads from this address", uploads),
            scores: RateLimit::new("score", "scores from this address", scores),
            orders: RateLimit::new("order", "orders from this address", orders),
            requests: RateLimit::new("request", "requests from this address", requests),
            user_uploads: RateLimit::new("user_upload", "uploads for this user", settings.user_uploads),
            user_scores: RateLimit::new("user_score", "scores for this user", settings.user_scores),
            user_orders: RateLimit::new("user_order", "orders for this user", settings.user_orders),
            polls: ConcurrencyLimit::new("poll", "long polls from this address", polls),
            feeds: ConcurrencyLimit::new("feed", "feeds from this address", feeds),
            sockets: ConcurrencyLimit::new("socket", "Socket.IO sessions from this address", sockets),
            held_uploads: ConcurrencyLimit::new("held_upload", "uploads in progress from this address", held_uploads),
            stored: StoredCounts::default(),
            paths: settings.paths,
            has_limits_by_address,
            has_warned: AtomicBool::new(false),
        }))
    }

    /// Counts a request, whose path is decoded as for the routes. Returns the key for the limits of connections, if
    /// they concern the client.
    ///
    /// # Errors
    /// 429 above the limit of its address.
    pub(super) fn admit(
        &self,
        head: &RequestHead,
        path: &str,
        client: Option<Client>,
        is_backend: bool,
    ) -> Result<Option<AddressKey>, Problem> {
        let Some(client) = client.filter(|_| self.0.has_limits_by_address) else { return Ok(None) };
        // A forwarded address may be one that the client claims.
        let is_local = client.address.is_loopback() && !client.is_forwarded;
        if is_backend || is_local || head.method == Method::OPTIONS || UNLIMITED.contains(&path) {
            return Ok(None);
        }
        let key = AddressKey::of(client.address);
        self.limit_of(&head.method, path).check(&key).inspect_err(|_| self.warn_of_proxy(head, client))?;
        Ok(Some(key))
    }

    /// Counts a Socket.IO session of this address.
    ///
    /// # Errors
    /// 429 above the limit.
    pub(super) fn session(&self, key: Option<AddressKey>) -> Result<Option<ConcurrencyGuard>, Problem> {
        self.0.sockets.acquire(key)
    }

    /// The number of refused requests by limit.
    pub(crate) fn refused(&self) -> Vec<Sample> {
        let Shared { uploads, scores, orders, requests, user_uploads, user_scores, user_orders, .. } = &*self.0;
        let rates = [uploads, scores, orders, requests, user_uploads, user_scores, user_orders].map(RateLimit::refused);
        let Shared { polls, feeds, sockets, held_uploads, stored, .. } = &*self.0;
        let numbers = [polls, feeds, sockets, held_uploads].map(ConcurrencyLimit::refused);
        let sample =
            |(name, count): (&str, u64)| Sample { labels: vec![("limit", name.to_owned())], value: count as f64 };
        rates.into_iter().chain(numbers).chain(stored.refused()).map(sample).collect()
    }

    fn limit_of(&self, method: &Method, path: &str) -> &RateLimit {
        let purpose = self.0.paths.iter().find(|(limited, _)| *limited == path && method == Method::POST);
        match purpose {
            Some((_, Purpose::Upload)) => &self.0.uploads,
            Some((_, Purpose::Score)) => &self.0.scores,
            Some((_, Purpose::Order)) => &self.0.orders,
            None => &self.0.requests,
        }
    }

    /// Warns once: such a proxy makes all its clients one. The address is personal data, so it is not logged.
    fn warn_of_proxy(&self, head: &RequestHead, client: Client) {
        if ignores_a_client(head, client) && !self.0.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a limit refuses requests with Forwarded or X-Forwarded-For of a peer that is not trusted; if it is a \
                 reverse proxy, add its address to serve.trusted_proxies"
            );
        }
    }
}

/// Whether the request names a client, but its peer is not trusted to do so.
fn ignores_a_client(head: &RequestHead, client: Client) -> bool {
    let is_named = [header::FORWARDED, header::X_FORWARDED_FOR].iter().any(|name| head.headers.contains_key(name));
    is_named && !client.is_forwarded
}

/// Counts an upload for a user.
///
/// # Errors
/// 429 above the limit.
pub(crate) fn user_upload(request: &HttpRequest, user: &impl Hash) -> Result<(), Problem> {
    of(request).map_or(Ok(()), |limits| limits.user_uploads.check(user))
}

/// Counts a score for a user.
///
/// # Errors
/// 429 above the limit.
pub(crate) fn user_score(request: &HttpRequest, user: &impl Hash) -> Result<(), Problem> {
    of(request).map_or(Ok(()), |limits| limits.user_scores.check(user))
}

/// Counts an order for a user.
///
/// # Errors
/// 429 above the limit.
pub(crate) fn user_order(request: &HttpRequest, user: &impl Hash) -> Result<(), Problem> {
    of(request).map_or(Ok(()), |limits| limits.user_orders.check(user))
}

/// Counts a long poll of the address, until the guard is dropped.
///
/// # Errors
/// 429 above the limit.
pub(crate) fn poll(request: &HttpRequest) -> Result<Option<ConcurrencyGuard>, Problem> {
    of(request).map_or(Ok(None), |limits| limits.polls.acquire(key(request)))
}

/// Counts a feed of the address, until the guard is dropped.
///
/// # Errors
/// 429 above the limit.
pub(crate) fn feed(request: &HttpRequest) -> Result<Option<ConcurrencyGuard>, Problem> {
    of(request).map_or(Ok(None), |limits| limits.feeds.acquire(key(request)))
}

/// Counts a Socket.IO session of the address, until the guard is dropped.
///
/// # Errors
/// 429 above the limit.
pub(crate) fn session(request: &HttpRequest) -> Result<Option<ConcurrencyGuard>, Problem> {
    of(request).map_or(Ok(None), |limits| limits.sockets.acquire(key(request)))
}

/// Counts an upload in progress of the address, until the guard is dropped.
///
/// # Errors
/// 429 above the limit.
pub(crate) fn held_upload(request: &HttpRequest) -> Result<Option<ConcurrencyGuard>, Problem> {
    of(request).map_or(Ok(None), |limits| limits.held_uploads.acquire(key(request)))
}

/// Counts a response that a limit of stored data has refused.
pub(super) fn count_refusal<B>(response: &ServiceResponse<B>) {
    let problem = response.response().error().and_then(|error| error.as_error::<Problem>());
    if let Some(limit) = problem.and_then(Problem::limit)
        && let Some(limits) = of(response.request())
    {
        limits.stored.count(limit);
    }
}

fn of(request: &HttpRequest) -> Option<&Shared> {
    request.app_data::<Data<Limits>>().map(|limits| &*limits.0)
}

/// The key that [`Limits::admit`] has returned for this request.
fn key(request: &HttpRequest) -> Option<AddressKey> {
    request.extensions().get::<AddressKey>().copied()
}

#[cfg(test)]
mod tests;
