//! Requests of the command line to an API server.
//!
//! Owns the client of one server and its retries. Never reads the database or files of the server.

pub(super) mod api;
pub(super) mod backoff;
