//! Jobs over HTTP, for operators: the same as `m3a3 jobs` on the command line.
//!
//! Owns the routes below `/admin`. Consumes and publishes nothing: who waits for a job that is changed here, or could run
//! it, finds it at the next sweep. Never knows what a job is for.

mod routes;

use std::sync::Arc;

use crate::db::Database;
use crate::http::AdminAuth;
use crate::jobs::operator::KindHooks;

pub(crate) use routes::routes;

/// The description of the routes, for [`OpenApi`](crate::http::openapi::OpenApi).
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// The state of the routes; a clone shares it.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) database: Database,
    /// The kinds of jobs, with what each does when an operator changes a job.
    pub(crate) hooks: Arc<[KindHooks]>,
    pub(crate) auth: AdminAuth,
}
