//! Jobs over HTTP, for operators: the counterpart of `m3a3 jobs`.
//!
//! Owns the routes below `/admin`. Consumes and publishes nothing: long polls and workers notice changed jobs at their
//! next sweep. Never knows the purpose of a job.

mod dto;
mod routes;

use std::sync::Arc;

use crate::db::Database;
use crate::http::AdminAuth;
use crate::jobs::operator::KindHooks;

pub(crate) use routes::{PATH, openapi, routes};

/// The state of the routes; a clone shares it.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) database: Database,
    /// The hooks of each kind of job for changes by operators.
    pub(crate) hooks: Arc<[KindHooks]>,
    pub(crate) auth: AdminAuth,
}
