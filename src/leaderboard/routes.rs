//! The state and the routes of the leaderboard, and its errors as HTTP problems.

use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::web;

use super::database_board::DatabaseBoardError;
use super::player_limit::TooManyPlayers;
use super::scoring::Scoring;
use super::scoring_error::ScoringError;
use super::subscribers::FeedHandle;
use super::view::{ReadError, View};
use super::{players, sse, submission};
use crate::bus::BusError;
use crate::http::limits::StoredLimit;
use crate::http::page::page;
use crate::http::resource::{get, post};
use crate::http::{AdminAuth, Auth, Problem, ReaderAuth, Scope, UserRoute, auth};

/// The path of the feed. Pages of every origin may use it.
pub(crate) const FEED_PATH: &str = "/leaderboard-feed";
/// The path that resets the board, for operators.
pub(crate) const SEED_PATH: &str = "/seed";

/// The routes for user tokens.
pub(crate) const USER_ROUTES: [UserRoute; 1] = [UserRoute::new(Method::POST, "/score", Scope::Score)];

/// The state of the routes; a clone shares it.
#[derive(Clone)]
pub struct State {
    /// Accepts scores.
    pub scoring: Scoring,
    /// Reads the board.
    pub view: View,
    /// Opens feeds.
    pub feeds: FeedHandle,
    /// Required for changes.
    pub(crate) auth: Auth,
    /// Required to reset the board.
    pub(crate) admin_auth: AdminAuth,
    /// Required to read the board.
    pub(crate) readers: ReaderAuth,
}

impl State {
    /// The number of players on the board.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    pub async fn players(&self) -> Result<u64, BusError> {
        self.view.players().await
    }
}

/// The routes. The page requires no token, since it contains no data.
pub fn routes(state: State) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        services
            .app_data(web::Data::new(state.view))
            .app_data(web::Data::new(state.scoring))
            .app_data(web::Data::new(state.feeds))
            .app_data(web::Data::new(state.auth))
            .app_data(web::Data::new(state.admin_auth))
            .app_data(web::Data::new(state.readers))
            .service(page("/", include_str!("page.html")))
            .service(post("/score", submission::score).wrap(from_fn(auth::require)))
            .service(post("/seed", submission::seed).wrap(from_fn(auth::require_admin)))
            .service(get("/leaderboard", players::list).wrap(from_fn(auth::require_reader)))
            .service(get("/leaderboard/{username}", players::get).wrap(from_fn(auth::require_reader)))
            .service(get("/leaderboard-feed", sse::get).wrap(from_fn(auth::require_reader)));
    }
}

impl From<ScoringError> for Problem {
    fn from(error: ScoringError) -> Self {
        match error {
            ScoringError::Invalid(invalid) => Self::field("score", &invalid),
            ScoringError::Busy | ScoringError::Closed => Self::unavailable(error),
            ScoringError::NeedsRedis => needs_redis(),
            ScoringError::TooManyPlayers(full) => too_many_players(full),
            ScoringError::Database(error) => error.into(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Redis(BusError::Refused(reason)) => refused(&reason),
            ReadError::Redis(error) => Self::unavailable(error),
            ReadError::Database(DatabaseBoardError::Database(error)) => error.into(),
            ReadError::Database(error @ DatabaseBoardError::TooLarge) => Self::unavailable(error),
        }
    }
}

fn needs_redis() -> Problem {
    let detail = "Redis is unavailable, and m3a3 has no score of this player: \"add\" and \"best\" depend on a score that \
                  another program may have written there. Please try again, or send the score with the mode \"set\".";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(header::RETRY_AFTER, "1")
}

fn too_many_players(full: TooManyPlayers) -> Problem {
    let detail = format!("username: {full}; players with a score here are not affected.");
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, detail).above(StoredLimit::Players)
}

fn refused(reason: &str) -> Problem {
    let cause = match reason.starts_with("WRONGTYPE") {
        true => "the Redis key \"leaderboard\" is not a sorted set",
        false => "Redis rejects the command",
    };
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("The leaderboard cannot be read: {cause}. Please try again once this is fixed."),
    )
    .with_header(header::RETRY_AFTER, "5")
    .caused_by(reason)
}
