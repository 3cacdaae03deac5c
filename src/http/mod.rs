//! What every HTTP server of m3a3 has in common: the listener, limits, problems, authentication, health, metrics, the
//! description of its routes; and what every HTTP client has.
//!
//! Owns no table, and no route except `/healthz`, `/readyz`, `/metrics`, `/openapi.json` and `/docs`. Consumes and
//! publishes nothing. Never knows what a route is for: the domains bring their routes, `cli` puts them together. This is
//! the one place where errors become HTTP.

pub mod auth;
pub mod body;
pub mod client;
pub mod health;
pub mod metrics;
pub mod openapi;
pub mod pace;
pub mod page;
pub mod problem;
pub mod query;
pub mod resource;
pub mod server;
pub mod upgrade;

pub use auth::{AdminAuth, Auth};
pub use problem::Problem;
pub use query::Query;
pub use upgrade::{Upgrade, Websockets};
