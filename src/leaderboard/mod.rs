//! The leaderboard: scores in, the board out to everyone who watches.
//!
//! Owns the tables `scores` and `leaderboard`, and in Redis the sorted set `leaderboard`, which other programs may write to
//! as well, and `{leaderboard}:cursor`, which says what of the tables it contains. Consumes and publishes
//! `leaderboard_update`. What is shown is always what Redis holds, but for the sign of zero; for the players that m3a3 has
//! written, the rows are the truth that Redis is filled from. Never keeps the board in memory, but for the rendered top ten.
//!
//! - `routes`, `sse`: the HTTP side
//! - `scoring`: scores on their way into the database
//! - `redis_mirror`, `cursor`: Redis kept equal to the database
//! - `view`: the board, read
//! - `broadcast`, `board`: the top ten, read once and handed to everyone
//! - `store`: the rows
//! - `operator`: what operators ask for

mod board;
mod broadcast;
mod cursor;
mod operator;
mod redis_mirror;
mod routes;
mod scoring;
mod sse;
mod store;
mod view;

pub use board::KEY;
pub use broadcast::{Broadcast, FeedHandle};
pub use operator::{Lag, lag, refill, remove, replace};
pub use routes::{State, routes};
pub use scoring::{Scored, Scoring, ScoringError, ScoringTask};
pub use store::{Mode, scores_of, written_scores};

/// The description of the routes, for [`OpenApi`](crate::http::openapi::OpenApi).
pub const OPENAPI: &str = include_str!("openapi.json");
