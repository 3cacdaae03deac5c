//! `POST /score` and `POST /seed`: changes of the board.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::openapi::TAG;
use super::scoring::{Scored, Scoring};
use super::store::Mode;
use crate::http::body::{Checked, FromJson};
use crate::http::openapi::responses::{BodyErrors, Forbidden, TooManyRequests, Unauthorized, Unavailable};
use crate::http::openapi::schemas::{ProblemBody, True};
use crate::http::{Caller, NoQuery, Problem, body, limits};
use crate::ids::{Invalid, Score, Username};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ScoreRequest)]
struct ScoreRequest {
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
struct ScoreResponse {
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
struct SeedResponse {
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
        (
            status = 507,
            description = "The player is new, and `limits.players` are stored.",
            body = ProblemBody,
            content_type = "application/problem+json"
        ),
        BodyErrors
    )
)]
pub(super) async fn score(
    _: NoQuery,
    scoring: web::Data<Scoring>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (name, mode, score) = submission(body::json(&request, payload).await?)?;
    caller.check_player(&name)?;
    limits::user_score(&request, &name)?;
    let Scored { score, rank } = scoring.score(name, mode, score).await?;
    Ok(HttpResponse::Ok().json(ScoreResponse { message: ScoreMessage::Updated, rank, score, success: True }))
}

fn submission(request: ScoreRequest) -> Result<(Username, Mode, Score), Problem> {
    let ScoreRequest { username, score, mode } = request;
    match (username.into_result(), mode.into_result(), score.into_result()) {
        (Ok(name), Ok(mode), Ok(score)) => Ok((name, mode, score)),
        (name, mode, score) => {
            Err(Problem::wrong_fields([("username", name.err()), ("score", score.err()), ("mode", mode.err())]))
        }
    }
}

/// Reset the board to ten example players
///
/// The body is ignored, because old clients send arbitrary ones. Needs `auth.admin_token` if set, otherwise
/// `auth.token`.
#[utoipa::path(
    post,
    path = "/seed",
    operation_id = "seedLeaderboard",
    tag = TAG,
    security(("token" = [])),
    responses(
        (status = 200, description = "Player 1 to Player 10 have 100, 90, … 10.", body = SeedResponse),
        (status = 401, response = Unauthorized),
        (status = 403, response = Forbidden),
        (status = 429, response = TooManyRequests),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn seed(scoring: web::Data<Scoring>) -> Result<HttpResponse, Problem> {
    scoring.seed().await?;
    Ok(HttpResponse::Ok().json(SeedResponse { message: SeedMessage::Seeded, success: True }))
}
