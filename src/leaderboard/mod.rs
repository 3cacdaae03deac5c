//! The leaderboard: scores in, the board out to everyone who watches.
//!
//! Owns the tables `scores` and `leaderboard`, and in Redis the sorted set `leaderboard`, which other programs may write to
//! as well, and `{leaderboard}:cursor`, which says what of the tables it contains. Consumes and publishes
//! `leaderboard_update`. What is shown is always what Redis holds, but for the sign of zero; for the players that m3a3 has
//! written, the rows are the truth that Redis is filled from. Never keeps the board in memory, but for the rendered top ten.
//!
//! - `routes`, `feed`: the HTTP side
//! - `scoring`: scores on their way into the database
//! - `redis_mirror`, `cursor`: Redis kept equal to the database
//! - `view`: the board, read
//! - `broadcast`, `board`: the top ten, read once and handed to everyone
//! - `store`: the rows
//! - `upkeep`: what operators ask for

mod board;
mod broadcast;
mod cursor;
mod feed;
mod redis_mirror;
mod routes;
mod scoring;
mod store;
mod upkeep;
mod view;

pub use board::KEY;
pub use broadcast::{Audience, Broadcast};
pub use routes::{Api, routes};
pub use scoring::{Scored, Scoring, ScoringError, ScoringTask};
pub use store::{Mode, scores_of, written_scores};
pub use upkeep::{Lag, lag, refill, remove, replace};

/// The description of the routes, for [`OpenApi`](crate::http::openapi::OpenApi).
pub const OPENAPI: &str = include_str!("openapi.json");
