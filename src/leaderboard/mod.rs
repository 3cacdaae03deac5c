//! The leaderboard: takes scores and sends the board to all subscribers.
//!
//! Owns the tables `scores` and `leaderboard`. In Redis it owns `{leaderboard}:cursor`, which names the last commit
//! that Redis contains, and shares the sorted set `leaderboard` with other programs. Consumes and publishes
//! `leaderboard_update`. The displayed board is the content of Redis, except for the sign of zero. For players that
//! m3a3 has written, the rows are the source that Redis is filled from. Keeps nothing of the board in memory except the
//! rendered top ten, and while Redis is unavailable the scores of the database.
//!
//! - `routes`, `submission`, `players`, `sse`, `openapi`: the HTTP side
//! - `scoring`, `scoring_error`: the task that commits scores, and why it does not accept one
//! - `player_limit`: the limit of players
//! - `redis_mirror`, `cursor`: synchronization of Redis with the database
//! - `view`, `database_board`: read the board
//! - `broadcast`, `subscribers`, `board`: reads the top ten once for all subscribers
//! - `store`: the rows
//! - `operator`: the operations of the command line and of `m3a3 doctor`

mod board;
mod broadcast;
mod cursor;
mod database_board;
mod openapi;
mod operator;
mod player_limit;
mod players;
mod redis_mirror;
mod routes;
mod scoring;
mod scoring_error;
mod sse;
mod store;
mod submission;
mod subscribers;
mod view;

pub use board::KEY;
pub use broadcast::Broadcast;
pub(crate) use openapi::openapi;
pub use operator::{Lag, lag, refill, remove, replace};
pub use player_limit::TooManyPlayers;
pub(crate) use routes::{FEED_PATH, SEED_PATH, USER_ROUTES};
pub use routes::{State, routes};
pub use scoring::{Scored, Scoring, ScoringTask};
pub use scoring_error::ScoringError;
pub use store::{Mode, scores_of, written_scores};
pub use subscribers::FeedHandle;
pub use view::View;
