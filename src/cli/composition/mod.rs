//! What the long-running subcommands are put together from.
//!
//! Each file builds one part of a process from the configuration. Owns `api-server.lock` in the data directory
//! ([`api_presence`]). Never parses arguments and never prints a result.

pub(super) mod api_presence;
pub(super) mod api_server;
pub(super) mod data_access;
pub(super) mod embedded_redis;
pub(super) mod game_server;
pub(super) mod job_policy;
pub(super) mod job_registry;
pub(super) mod metrics;
pub(super) mod readiness;
pub(super) mod redis_address;
pub(super) mod runtime;
pub(super) mod thumbnails;
pub(super) mod workers;
