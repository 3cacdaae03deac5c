//! A claimed job: the one mapping of a row to a [`Job`].

use diesel::prelude::*;

use super::Task;
use crate::db::schema::jobs;
use crate::ids::JobId;

/// A job under a lease.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = jobs)]
pub struct Job {
    /// A UUID v7, which contains the time of creation.
    pub id: JobId,
    /// The JSON of its kind's [`Task`].
    pub payload: String,
    /// Failed attempts before this one.
    pub attempts: i32,
    /// Workers that died while they ran it.
    pub crashes: i32,
    /// The fencing token of this lease: a write under an older token changes nothing.
    pub(crate) lease_token: i64,
}

impl Job {
    /// Parses the payload.
    ///
    /// # Errors
    /// When it is not the JSON of a `T`.
    pub fn task<T: Task>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.payload)
    }
}
