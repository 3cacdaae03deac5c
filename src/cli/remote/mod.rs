//! Requests to an API server, for `upload` and `status`.
//!
//! Owns the HTTP client and its retries. Never reads the server's database or files.

pub(super) mod api;
pub(super) mod retry;
