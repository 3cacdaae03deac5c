//! The HTTP routes of the leaderboard.

use actix_cors::Cors;
use actix_web::http::{StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use super::board::{Entry, KEY};
use super::openapi::TAG;
use super::scoring::{Scored, Scoring, ScoringError};
use super::sse;
use super::store::Mode;
use super::subscribers::FeedHandle;
use super::view::View;
use crate::bus::{Bus, BusError, Member};
use crate::db::Database;
use crate::http::body::{Checked, FromJson};
use crate::http::openapi::responses::{
    BadRequest, NotFound, Stalled, TooLarge, Unauthorized, Unavailable, UnsupportedType,
};
use crate::http::openapi::schemas::True;
use crate::http::page::page;
use crate::http::resource::{get, post};
use crate::http::{Auth, Problem, Query, auth, body};
use crate::ids::{Invalid, Score, Username};

/// Players per page.
const DEFAULT_LIMIT: u64 = 10;
const MAX_LIMIT: u64 = 1000;
/// Neighbours on each side of a player.
const NEIGHBOURS: u64 = 2;

/// The state of the routes; a clone shares it.
#[derive(Clone)]
pub struct State {
    /// Accepts scores.
    pub scoring: Scoring,
    /// Reads the board from Redis.
    pub bus: Bus,
    /// Has the sign of zeros.
    pub database: Database,
    /// Opens feeds.
    pub feeds: FeedHandle,
    /// Required for changes.
    pub(crate) auth: Auth,
    /// Ends the feeds.
    pub shutdown: CancellationToken,
}

impl State {
    /// The number of players on the board.
    ///
    /// # Errors
    /// If Redis is disconnected, does not reply in time, or replies with an error.
    pub async fn players(&self) -> Result<u64, BusError> {
        Ok(self.bus.sorted_set(KEY).page(0, 0).await?.total)
    }
}

/// The routes. Reading the board requires no token: it is public, and an `EventSource` cannot send one.
pub fn routes(state: State) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        let cors = Cors::default().allow_any_origin().send_wildcard().allowed_methods(["GET"]);
        services
            .app_data(web::Data::new(View::new(&state.bus, state.database)))
            .app_data(web::Data::new(state.scoring))
            .app_data(web::Data::new(state.feeds))
            .app_data(web::Data::new(state.auth))
            .app_data(web::Data::new(state.shutdown))
            .service(page("/", include_str!("page.html")))
            .service(post("/score", score).wrap(from_fn(auth::require)))
            .service(post("/seed", seed).wrap(from_fn(auth::require)))
            .service(get("/leaderboard", players))
            .service(get("/leaderboard/{username}", player))
            .service(get("/leaderboard-feed", sse::get).wrap(cors));
    }
}

#[derive(Deserialize, ToSchema)]
#[schema(as = ScoreRequest)]
pub(super) struct ScoreRequest {
    #[serde(default)]
    #[schema(value_type = Username, required = true)]
    username: Checked<Username>,
    /// Finite; -0 stays -0.
    #[serde(default)]
    #[schema(value_type = f64, required = true, example = 42)]
    score: Checked<Score>,
    /// `set` replaces the score of the player, `best` replaces it if the new one is higher, `add` adds to it.
    #[serde(default)]
    #[schema(value_type = ScoreMode, inline, default = "set")]
    mode: Checked<Mode>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code, reason = "the request is parsed into the mode of the store")]
enum ScoreMode {
    Set,
    Best,
    Add,
}

impl FromJson for Mode {
    fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        match value {
            None => Ok(Self::Set),
            Some(Value::String(text)) if text == "set" => Ok(Self::Set),
            Some(Value::String(text)) if text == "best" => Ok(Self::Best),
            Some(Value::String(text)) if text == "add" => Ok(Self::Add),
            other => Err(Invalid::json(other, "\"set\", \"best\" or \"add\"")),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct ScoreResponse {
    #[schema(inline)]
    message: ScoreMessage,
    /// Counted from 1. Omitted while Redis is unavailable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u64, minimum = 1)]
    rank: Option<u64>,
    /// The new score of the player.
    #[schema(value_type = f64, example = 42)]
    score: Score,
    #[schema(inline)]
    success: True,
}

#[derive(Serialize, ToSchema)]
enum ScoreMessage {
    #[serde(rename = "Score updated successfully")]
    Updated,
}

#[derive(Serialize, ToSchema)]
pub(super) struct SeedResponse {
    #[schema(inline)]
    message: SeedMessage,
    #[schema(inline)]
    success: True,
}

#[derive(Serialize, ToSchema)]
enum SeedMessage {
    #[serde(rename = "Leaderboard seeded successfully")]
    Seeded,
}

/// A page of the board.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// The number of players to skip.
    #[param(required = false, minimum = 0, default = 0)]
    offset: u64,
    /// The maximum number of players.
    #[param(required = false, minimum = 1, maximum = 1000, default = 10)]
    limit: u64,
}

impl PageQuery {
    fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let query = Query::read(request)?;
        let offset = query.integer("offset", 0..=u64::MAX >> 1, "a whole number from 0")?.unwrap_or(0);
        let limit = query.integer("limit", 1..=MAX_LIMIT, "a whole number from 1 to 1000")?.unwrap_or(DEFAULT_LIMIT);
        Ok(Self { offset, limit })
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct PlayerList {
    #[schema(example = 10)]
    limit: u64,
    #[schema(example = 0)]
    offset: u64,
    players: Vec<RankedPlayer>,
    /// The number of players on the board.
    #[schema(example = 1)]
    total: u64,
}

#[derive(Serialize, ToSchema)]
struct RankedPlayer {
    #[schema(minimum = 1, example = 1)]
    rank: u64,
    #[schema(value_type = f64, example = 42)]
    score: Score,
    #[schema(example = "ada")]
    username: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct PlayerPage {
    /// The player with up to two players above and below.
    neighbours: Vec<RankedPlayer>,
    #[schema(minimum = 1, example = 1)]
    rank: u64,
    #[schema(value_type = f64, example = 42)]
    score: Score,
    #[schema(example = 1)]
    total: u64,
    #[schema(example = "ada")]
    username: String,
}

/// Submit a score
///
/// The response is sent once the score is durable, even while Redis is unavailable.
#[utoipa::path(
    post,
    path = "/score",
    operation_id = "submitScore",
    tag = TAG,
    security(("token" = [])),
    request_body = ScoreRequest,
    responses(
        (status = 200, description = "Accepted.", body = ScoreResponse),
        (status = 400, response = BadRequest),
        (status = 401, response = Unauthorized),
        (status = 408, response = Stalled),
        (status = 413, response = TooLarge),
        (status = 415, response = UnsupportedType),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn score(
    scoring: web::Data<Scoring>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    body::require_json(&request)?;
    let (name, mode, score) = submission(body::json(payload).await?)?;
    let Scored { score, rank } = scoring.score(name, mode, score).await?;
    Ok(HttpResponse::Ok().json(ScoreResponse { message: ScoreMessage::Updated, rank, score, success: True }))
}

fn submission(request: ScoreRequest) -> Result<(Username, Mode, Score), Problem> {
    let ScoreRequest { username, score, mode } = request;
    match (username.into_result(), mode.into_result(), score.into_result()) {
        (Ok(name), Ok(mode), Ok(score)) => Ok((name, mode, score)),
        (name, mode, score) => {
            let wrong = [("username", name.err()), ("score", score.err()), ("mode", mode.err())];
            let wrong: Vec<_> = wrong.iter().filter_map(|(name, invalid)| Some((*name, invalid.as_ref()?))).collect();
            Err(Problem::fields(StatusCode::BAD_REQUEST, &wrong))
        }
    }
}

/// Reset the board to ten example players
///
/// The body is ignored, because old clients send arbitrary ones.
#[utoipa::path(
    post,
    path = "/seed",
    operation_id = "seedLeaderboard",
    tag = TAG,
    security(("token" = [])),
    responses(
        (status = 200, description = "Player 1 to Player 10 have 100, 90, … 10.", body = SeedResponse),
        (status = 401, response = Unauthorized),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn seed(scoring: web::Data<Scoring>) -> Result<HttpResponse, Problem> {
    scoring.seed().await?;
    Ok(HttpResponse::Ok().json(SeedResponse { message: SeedMessage::Seeded, success: True }))
}

/// List players
#[utoipa::path(
    get,
    path = "/leaderboard",
    operation_id = "listPlayers",
    tag = TAG,
    params(PageQuery),
    responses(
        (status = 200, description = "Highest score first.", body = PlayerList),
        (status = 400, response = BadRequest),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn players(view: web::Data<View>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let PageQuery { offset, limit } = PageQuery::read(&request)?;
    let page = view.page(offset, limit).await?;
    let players = ranked(offset, page.members);
    Ok(HttpResponse::Ok().json(PlayerList { limit, offset, players, total: page.total }))
}

/// Get a player
#[utoipa::path(
    get,
    path = "/leaderboard/{username}",
    operation_id = "getPlayer",
    tag = TAG,
    params(("username" = Username, Path, example = "ada")),
    responses(
        (status = 200, description = "Rank and score, with the two players above and below.", body = PlayerPage),
        (status = 400, response = BadRequest),
        (status = 404, response = NotFound),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn player(view: web::Data<View>, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let name: Username = name.parse().map_err(|invalid| Problem::field("username", &invalid))?;
    let Some((rank, score)) = view.rank_and_score(name.as_str()).await? else {
        return Err(Problem::not_found("There is no such player on the leaderboard."));
    };
    let first = rank.saturating_sub(NEIGHBOURS);
    let around = view.page(first, rank - first + 1 + NEIGHBOURS).await?;
    let Entry { username, score } = Entry::from(Member { name: name.into_string(), score });
    Ok(HttpResponse::Ok().json(PlayerPage {
        neighbours: ranked(first, around.members),
        rank: rank + 1,
        score,
        total: around.total,
        username,
    }))
}

/// Players with their ranks, counted from 1.
fn ranked(offset: u64, members: Vec<Member>) -> Vec<RankedPlayer> {
    let entries = members.into_iter().map(Entry::from);
    let ranked = (offset + 1..).zip(entries);
    ranked.map(|(rank, Entry { username, score })| RankedPlayer { rank, score, username }).collect()
}

impl From<ScoringError> for Problem {
    fn from(error: ScoringError) -> Self {
        match error {
            ScoringError::Invalid(invalid) => Self::field("score", &invalid),
            ScoringError::Busy | ScoringError::Closed => Self::unavailable(error),
            ScoringError::NeedsRedis => needs_redis(),
            ScoringError::Database(error) => error.into(),
        }
    }
}

impl From<BusError> for Problem {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Refused(reason) => refused(&reason),
            error => Self::unavailable(error),
        }
    }
}

fn needs_redis() -> Problem {
    let detail = "Redis is unavailable, and m3a3 has no score of this player: \"add\" and \"best\" depend on a score that \
                  another program may have written there. Please try again, or send the score with the mode \"set\".";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(header::RETRY_AFTER, "1")
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
