//! What m3a3 does, tried on the real thing: one file per capability. Each test has its own database, files and Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "all of this is tests, which may fail so")]

mod all_workers;
mod architecture;
mod auth;
mod bad_input;
mod broker_conformance;
mod bus;
mod capacity;
mod cli;
#[cfg(feature = "client")]
mod client;
mod database;
mod doctor;
mod email;
mod game_server;
mod harness;
mod idempotency;
mod job_environment;
mod job_leases;
mod job_shutdown;
mod jobs;
mod kills;
mod leaderboard_feed;
mod leaderboard_outage;
mod leaderboard_sockets;
mod long_polling;
mod messages;
mod metrics;
mod negative_zero;
mod newest_upload;
mod openapi;
mod operators;
mod orders;
mod originals;
mod outage;
mod pages;
mod readiness;
mod replaced_service;
mod score_batches;
mod score_kills;
mod scores;
mod socketio;
mod socketio_hostile;
mod status;
mod status_api;
mod systemd;
mod thumbnail_files;
mod thumbnails;
mod upload;
mod users;
mod variants;
mod wal;
mod warehouse;
mod webhook;
mod write_turns;
