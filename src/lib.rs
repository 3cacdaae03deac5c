//! m3a3: pictures in, thumbnails out, leaderboards live.

pub mod cli;
pub mod config;
pub mod db;
pub mod bus;
pub mod events;
pub mod files;
pub mod http;
pub mod ids;
pub mod jobs;
pub mod lifecycle;
pub mod telemetry;
pub mod users;
pub mod thumbnail;
