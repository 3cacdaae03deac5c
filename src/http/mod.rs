//! The parts that all HTTP servers of m3a3 share: listener, limits, problems, authentication, health, metrics and the
//! API description; and the part that all HTTP clients share.
//!
//! Owns no table, and no route except `/healthz`, `/readyz`, `/metrics`, `/openapi.json` and `/docs`. Consumes and
//! publishes nothing. Never knows the purpose of a route: the domains bring their routes, `cli` composes them.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod client;
pub mod client_address;
pub(crate) mod conditional;
mod connection;
pub mod cors;
pub mod draining;
mod expectation;
pub(crate) mod health;
mod http2;
pub mod limits;
pub mod listener;
pub(crate) mod metrics;
pub(crate) mod multipart;
pub(crate) mod openapi;
pub(crate) mod pace;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod problem;
mod protocols;
pub(crate) mod query;
pub(crate) mod request_id;
pub(crate) mod request_span;
pub(crate) mod resource;
pub(crate) mod response;
pub mod server;
pub mod site_guard;
pub(crate) mod stalled_write;
pub(crate) mod static_content;
pub mod tls;
pub(crate) mod trace_parent;
mod unknown_fields;
pub(crate) mod upgrade;

pub use auth::ServerTokens;
pub(crate) use auth::{AdminAuth, Auth, Caller, ReaderAuth, Scope, UserRoute};
pub(crate) use problem::Problem;
pub(crate) use query::{NoQuery, Query};
pub use upgrade::{Upgrade, Websockets};
