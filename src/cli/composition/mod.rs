//! The parts that subcommands are built from: servers, workers, and the resources of a process.
//!
//! Each file builds one part from the configuration. Owns `api-server.lock` ([`api_presence`]) and the address files of
//! the broker ([`embedded_redis`]) and of the servers ([`server_address`]) in the data directory. Consumes the
//! configuration and the interfaces of all domains. Never parses arguments and never prints.

pub(super) mod access;
pub(super) mod api_presence;
pub(super) mod api_server;
pub(super) mod certificates;
pub(super) mod clients;
pub(super) mod confirmation;
pub(super) mod data_access;
pub(super) mod embedded_redis;
pub(super) mod game_server;
pub(super) mod job_policy;
pub(super) mod job_registry;
pub(super) mod metrics;
pub(super) mod origins;
pub(super) mod readiness;
pub(super) mod redis_address;
pub(super) mod runtime;
pub(super) mod server_address;
pub(super) mod thumbnails;
pub(super) mod workers;
