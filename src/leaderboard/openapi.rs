//! The description of the routes, and the type that exists only for it.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::board::Entry;
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

/// An event of the feed.
pub(super) struct BoardEvent;

impl PartialSchema for BoardEvent {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let players = ArrayBuilder::new().items(Entry::schema());
        let data = text().content_media_type("application/json").content_schema(Some(players));
        let data = data.description(Some("The top ten, highest score first."));
        let id = text().description(Some("The number of the event; it grows."));
        ObjectBuilder::new().property("data", data).required("data").property("id", id).required("id").into()
    }
}

impl ToSchema for BoardEvent {}
