//! `GET /leaderboard` and `GET /leaderboard/{username}`: pages of the board, and one player.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::board::Entry;
use super::openapi::TAG;
use super::view::{Player, Source, View};
use crate::bus::Member;
use crate::http::conditional::{self, REVALIDATED, REVALIDATED_BY_CLIENT};
use crate::http::openapi::params::EtagParams;
use crate::http::openapi::responses::{BadRequest, NotFound, TooManyRequests, Unauthorized, Unavailable};
use crate::http::{NoQuery, Problem, Query, ReaderAuth, path};
use crate::ids::{Score, Username};

/// Players per page.
const DEFAULT_LIMIT: u64 = 10;
const MAX_LIMIT: u64 = 1000;
/// Neighbours on each side of a player.
const NEIGHBOURS: u64 = 2;

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
        let query = Query::read(request, &["offset", "limit"])?;
        let offset = query.integer("offset", 0..=u64::MAX >> 1, "a whole number from 0")?.unwrap_or(0);
        let limit = query.integer("limit", 1..=MAX_LIMIT, "a whole number from 1 to 1000")?.unwrap_or(DEFAULT_LIMIT);
        Ok(Self { offset, limit })
    }
}

#[derive(Serialize, ToSchema)]
struct PlayerList {
    #[schema(example = 10)]
    limit: u64,
    #[schema(example = 0)]
    offset: u64,
    players: Vec<RankedPlayer>,
    #[serde(skip_serializing_if = "Source::is_redis")]
    #[schema(inline)]
    source: Source,
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
struct PlayerPage {
    /// Up to two players above, and two below.
    neighbours: Vec<RankedPlayer>,
    #[schema(minimum = 1, example = 1)]
    rank: u64,
    #[schema(value_type = f64, example = 42)]
    score: Score,
    #[serde(skip_serializing_if = "Source::is_redis")]
    #[schema(inline)]
    source: Source,
    #[schema(example = 1)]
    total: u64,
    #[schema(example = "ada")]
    username: String,
}

/// List players
#[utoipa::path(
    get,
    path = "/leaderboard",
    security((), ("token" = [])),
    operation_id = "listPlayers",
    tag = TAG,
    params(PageQuery, EtagParams),
    responses(
        (
            status = 200,
            description = "Highest score first; equal scores by name, descending.",
            body = PlayerList,
            headers(("ETag" = String, description = "For `If-None-Match`."))
        ),
        (status = 304, description = "The client has it."),
        (status = 400, response = BadRequest),
        (status = 401, response = Unauthorized),
        (status = 429, response = TooManyRequests),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn list(
    view: web::Data<View>,
    readers: web::Data<ReaderAuth>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let PageQuery { offset, limit } = PageQuery::read(&request)?;
    let (page, source) = view.page(offset, limit).await?;
    let players = ranked(offset, page.members);
    let list = PlayerList { limit, offset, players, source, total: page.total };
    conditional::json(&request, caching(&readers), &list)
}

/// Get a player
#[utoipa::path(
    get,
    path = "/leaderboard/{username}",
    security((), ("token" = [])),
    operation_id = "getPlayer",
    tag = TAG,
    params(("username" = Username, Path, example = "ada"), EtagParams),
    responses(
        (
            status = 200,
            description = "Rank and score, with the two players above and below.",
            body = PlayerPage,
            headers(("ETag" = String, description = "For `If-None-Match`."))
        ),
        (status = 304, description = "The client has it."),
        (status = 400, response = BadRequest),
        (status = 401, response = Unauthorized),
        (status = 404, response = NotFound),
        (status = 429, response = TooManyRequests),
        (status = 503, response = Unavailable)
    )
)]
pub(super) async fn get(
    _: NoQuery,
    view: web::Data<View>,
    readers: web::Data<ReaderAuth>,
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name: Username = path::parse("username", &name)?;
    let Some((player, source)) = view.player(name.as_str(), NEIGHBOURS).await? else {
        return Err(Problem::not_found("There is no such player on the leaderboard."));
    };
    let Player { rank, score, first, around } = player;
    let Entry { username, score } = Entry::from(Member { name: name.into_string(), score });
    let mut neighbours = ranked(first, around.members);
    // By name: the board may have changed since the rank was read.
    neighbours.retain(|neighbour| neighbour.username != username);
    let total = around.total;
    let page = PlayerPage { neighbours, rank: rank + 1, score, source, total, username };
    conditional::json(&request, caching(&readers), &page)
}

/// Shared caches may store a public board only.
fn caching(readers: &ReaderAuth) -> &'static str {
    if readers.is_open() { REVALIDATED } else { REVALIDATED_BY_CLIENT }
}

/// Players with their ranks, counted from 1.
fn ranked(offset: u64, members: Vec<Member>) -> Vec<RankedPlayer> {
    let entries = members.into_iter().map(Entry::from);
    let ranked = (offset + 1..).zip(entries);
    ranked.map(|(rank, Entry { username, score })| RankedPlayer { rank, score, username }).collect()
}
