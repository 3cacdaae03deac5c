#![doc = include_str!("../docs/architecture.md")]

mod address_file;
pub mod admin;
pub mod audit;
mod backoff;
pub mod bus;
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
mod config;
pub mod db;
pub mod doctor;
pub mod email;
pub mod events;
pub mod files;
pub mod http;
mod http_errors;
pub mod ids;
pub mod images;
pub mod job_payloads;
pub mod jobs;
mod lazy_span;
pub mod leaderboard;
pub mod lifecycle;
pub mod orders;
pub mod socketio;
mod telemetry;
pub mod users;
pub mod warehouse;
