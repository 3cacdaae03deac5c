//! The HTTP routes of the leaderboard.

use actix_cors::Cors;
use actix_web::http::{StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::board::{Entry, KEY};
use super::scoring::{Scored, Scoring, ScoringError};
use super::sse;
use super::store::Mode;
use super::subscribers::FeedHandle;
use super::view::View;
use crate::bus::{Bus, BusError, Member};
use crate::db::Database;
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

// Responses with scores are structures, because a `Value` loses the spelling of a score. Their fields are in
// alphabetical order, like those of a `Value`.

#[derive(Serialize)]
struct ScoreResponse {
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<u64>,
    score: Score,
    success: bool,
}

#[derive(Serialize)]
struct PlayerList {
    limit: u64,
    offset: u64,
    players: Vec<RankedPlayer>,
    total: u64,
}

#[derive(Serialize)]
struct RankedPlayer {
    rank: u64,
    score: Score,
    username: String,
}

#[derive(Serialize)]
struct PlayerPage {
    neighbours: Vec<RankedPlayer>,
    rank: u64,
    score: Score,
    total: u64,
    username: String,
}

async fn score(
    scoring: web::Data<Scoring>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    body::require_json(&request)?;
    let (name, mode, score) = submission(&body::json_object(payload).await?)?;
    let Scored { score, rank } = scoring.score(name, mode, score).await?;
    Ok(HttpResponse::Ok().json(ScoreResponse { message: "Score updated successfully", rank, score, success: true }))
}

fn submission(fields: &Map<String, Value>) -> Result<(Username, Mode, Score), Problem> {
    let name = Username::from_json(fields.get("username"));
    let score = Score::from_json(fields.get("score"));
    let mode = mode(fields.get("mode"));
    match (name, mode, score) {
        (Ok(name), Ok(mode), Ok(score)) => Ok((name, mode, score)),
        (name, mode, score) => {
            let wrong = [("username", name.err()), ("score", score.err()), ("mode", mode.err())];
            let wrong: Vec<_> = wrong.iter().filter_map(|(name, invalid)| Some((*name, invalid.as_ref()?))).collect();
            Err(Problem::fields(StatusCode::BAD_REQUEST, &wrong))
        }
    }
}

fn mode(value: Option<&Value>) -> Result<Mode, Invalid> {
    match value {
        None => Ok(Mode::Set),
        Some(Value::String(text)) if text == "set" => Ok(Mode::Set),
        Some(Value::String(text)) if text == "best" => Ok(Mode::Best),
        Some(Value::String(text)) if text == "add" => Ok(Mode::Add),
        other => Err(Invalid::json(other, "\"set\", \"best\" or \"add\"")),
    }
}

/// Ignores the body, because old clients send arbitrary ones.
async fn seed(scoring: web::Data<Scoring>) -> Result<HttpResponse, Problem> {
    scoring.seed().await?;
    Ok(HttpResponse::Ok().json(json!({ "success": true, "message": "Leaderboard seeded successfully" })))
}

async fn players(view: web::Data<View>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query = Query::read(&request)?;
    let offset = query.integer("offset", 0..=u64::MAX >> 1, "a whole number from 0")?.unwrap_or(0);
    let limit = query.integer("limit", 1..=MAX_LIMIT, "a whole number from 1 to 1000")?.unwrap_or(DEFAULT_LIMIT);
    let page = view.page(offset, limit).await?;
    let players = ranked(offset, page.members);
    Ok(HttpResponse::Ok().json(PlayerList { limit, offset, players, total: page.total }))
}

async fn player(view: web::Data<View>, name: web::Path<String>) -> Result<HttpResponse, Problem> {
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
