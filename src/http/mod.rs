//! What every HTTP server of m3a3 has in common: the listener, limits, problems, authentication, health, metrics, the
//! description of its routes; and what every HTTP client has.
//!
//! Owns no table, and no route except `/healthz`, `/readyz`, `/metrics`, `/openapi.json` and `/docs`. Consumes and
//! publishes nothing. Never knows what a route is for: the domains bring their routes, `cli` puts them together. This is
//! the one place where errors become HTTP.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod health;
pub(crate) mod metrics;
pub(crate) mod openapi;
pub(crate) mod pace;
pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod resource;
pub mod server;
pub(crate) mod upgrade;

pub(crate) use auth::{AdminAuth, Auth};
pub(crate) use problem::Problem;
pub(crate) use query::Query;
pub use upgrade::{Upgrade, Websockets};
