//! The description of the routes.

use super::{players, sse, submission};
use crate::http::openapi::add_page;

pub(super) const TAG: &str = "Leaderboard";

/// The description of the routes.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = <Routes as utoipa::OpenApi>::openapi();
    add_page(&mut description, "/", TAG, "getLeaderboardPage", "Show the live leaderboard");
    description
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(submission::score, submission::seed, players::list, players::get, sse::get))]
struct Routes;
