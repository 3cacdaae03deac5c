//! Reads that span the tables of several domains, none of which knows the others.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::UnixMillis;
use super::schema::{asset_references, assets, fulfilments, images};

/// An image with what has come of it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct ImageEntry {
    /// The row of `images`.
    pub id: i64,
    /// Its thumbnail job.
    pub job_id: String,
    /// Below the image root.
    pub path: String,
    /// What the client called its file.
    pub original_name: Option<String>,
    /// `pending`, `done` or `failed`.
    pub state: String,
    /// Where the thumbnail is that it is shown by.
    pub thumbnail_url: Option<String>,
    /// Why it has none, for the uploader.
    pub failure: Option<String>,
    /// When it was accepted.
    pub created_at: UnixMillis,
    /// What the warehouse knows of it.
    pub asset: Option<AssetEntry>,
}

/// What the warehouse knows of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub struct AssetEntry {
    /// Lower-case hex.
    pub sha256: String,
    /// The file's size.
    pub bytes: i64,
    /// The usual file name extension.
    pub format: String,
    /// In pixels, as stored.
    pub width: i32,
    /// In pixels, as stored.
    pub height: i32,
    /// When it was taken, as its camera says.
    pub captured_at: Option<String>,
}

/// A user's images, the newest first: at most `limit`, those that were accepted before the image `before`.
///
/// # Errors
/// When the query fails.
pub fn images_of(
    connection: &mut SqliteConnection,
    user: i64,
    before: Option<i64>,
    limit: i64,
) -> QueryResult<Vec<ImageEntry>> {
    images::table
        .left_join(asset_references::table.on(asset_references::image_id.eq(images::id)))
        .left_join(assets::table.on(assets::sha256.eq(asset_references::sha256)))
        .filter(images::user_id.eq(user))
        .filter(images::id.lt(before.unwrap_or(i64::MAX)))
        .order(images::id.desc())
        .limit(limit)
        .select((
            images::id,
            images::job_id,
            images::path,
            images::original_name,
            images::state,
            images::thumbnail_url,
            images::failure,
            images::created_at,
            (assets::sha256, assets::bytes, assets::format, assets::width, assets::height, assets::captured_at)
                .nullable(),
        ))
        .load(connection)
}

/// When the warehouse took an order on; `None` as long as it has not.
///
/// # Errors
/// When the query fails.
pub fn fulfilled_at(connection: &mut SqliteConnection, order_id: &str) -> QueryResult<Option<UnixMillis>> {
    fulfilments::table.find(order_id).select(fulfilments::created_at).first(connection).optional()
}
