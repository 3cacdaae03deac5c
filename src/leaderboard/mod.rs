//! The leaderboard: scores in, the board out to everyone who watches.
//!
//! Owns the tables `scores`, `leaderboard` and `unsent_scores`, and in Redis the sorted set `leaderboard`, which other
//! programs may write to as well. Consumes and publishes `leaderboard_update`. What is shown is always what Redis holds,
//! but for the sign of zero; for the players whom m3a3 has written, the rows are the truth that Redis is filled from. Never
//! keeps the board in memory, but for the rendered top ten.
//!
//! - `routes`, `feed`: the HTTP side
//! - `scoring`, `lookup`, `ledger`, `seed`: scores on their way into the database and to Redis
//! - `replay`: what Redis missed, sent later
//! - `view`: the board, read
//! - `broadcast`, `board`: the top ten, read once and handed to everyone
//! - `store`, `unsent`: the rows

mod board;
mod broadcast;
mod feed;
mod ledger;
mod lookup;
mod replay;
mod routes;
mod scoring;
mod seed;
mod store;
mod unsent;
mod view;

pub use broadcast::{Audience, Broadcast};
pub use routes::{Api, routes};
pub use scoring::{Scored, Scoring, ScoringError, ScoringTask};
pub use store::Mode;

/// The description of the routes, for [`OpenApi`](crate::http::openapi::OpenApi).
pub const OPENAPI: &str = include_str!("openapi.json");

/// The sorted set in Redis.
const KEY: &str = "leaderboard";
