//! Queries that join the tables of several modules, none of which imports the others.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::UnixMillis;
use super::schema::{asset_references, assets, fulfilments, images};

/// An image with its thumbnail and its asset.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(crate) struct ImageEntry {
    pub(crate) id: i64,
    /// The thumbnail job.
    pub(crate) job_id: String,
    /// Relative to the image root.
    pub(crate) path: String,
    /// The file name that the client sent.
    pub(crate) original_name: Option<String>,
    /// `pending`, `done` or `failed`.
    pub(crate) state: String,
    /// The URL of the first thumbnail.
    pub(crate) thumbnail_url: Option<String>,
    /// Why it has no thumbnail, for the user.
    pub(crate) failure: Option<String>,
    /// When the image was accepted.
    pub(crate) created_at: UnixMillis,
    pub(crate) asset: Option<AssetEntry>,
}

/// An asset of the warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(crate) struct AssetEntry {
    /// Lower-case hex.
    pub(crate) sha256: String,
    pub(crate) bytes: i64,
    /// The file name extension.
    pub(crate) format: String,
    /// In pixels, before the EXIF orientation.
    pub(crate) width: i32,
    /// In pixels, before the EXIF orientation.
    pub(crate) height: i32,
    /// The capture time of the camera: RFC 3339, possibly without an offset.
    pub(crate) captured_at: Option<String>,
}

/// At most `limit` images of a user, the newest first, of those accepted before the image `before`.
pub(crate) fn images_of(
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

/// When the warehouse fulfilled an order; `None` before that.
pub(crate) fn fulfilled_at(connection: &mut SqliteConnection, order_id: &str) -> QueryResult<Option<UnixMillis>> {
    fulfilments::table.find(order_id).select(fulfilments::created_at).first(connection).optional()
}
