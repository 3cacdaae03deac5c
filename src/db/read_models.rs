//! Queries that join the tables of several modules, none of which imports the others.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::UnixMillis;
use super::schema::{asset_references, assets, fulfilments, images, thumbnails, users};

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

/// One of the thumbnails of an image.
#[derive(Debug, Clone, PartialEq, Eq, Queryable)]
pub(crate) struct VariantEntry {
    /// Its name in the configuration.
    pub(crate) variant: String,
    /// The file name.
    pub(crate) name: String,
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) bytes: i64,
}

/// The columns of a [`VariantEntry`].
pub(crate) const VARIANT: (
    thumbnails::variant,
    thumbnails::name,
    thumbnails::width,
    thumbnails::height,
    thumbnails::bytes,
) = (thumbnails::variant, thumbnails::name, thumbnails::width, thumbnails::height, thumbnails::bytes);

/// The thumbnail of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserThumbnail {
    /// The URL of the newest finished thumbnail.
    pub(crate) url: Option<String>,
    /// Why the newest upload has failed, for the uploader.
    pub(crate) failure: Option<String>,
    /// The thumbnails of the same image, in the order of the configuration; none for those of the replaced service.
    pub(crate) variants: Vec<VariantEntry>,
}

/// The thumbnail of a user, in one statement; `None` if there is no such user.
pub(crate) fn thumbnail_of(connection: &mut SqliteConnection, user: i64) -> QueryResult<Option<UserThumbnail>> {
    type Row = (Option<String>, Option<String>, Option<VariantEntry>);
    let rows: Vec<Row> = users::table
        .left_join(thumbnails::table.on(thumbnails::image_id.nullable().eq(users::thumbnail_image_id)))
        .filter(users::id.eq(user))
        .order(thumbnails::position)
        .select((users::thumbnail_image, users::failure, VARIANT.nullable()))
        .load(connection)?;
    let mut rows = rows.into_iter();
    let Some((url, failure, first)) = rows.next() else { return Ok(None) };
    let variants = first.into_iter().chain(rows.filter_map(|(.., variant)| variant)).collect();
    // The replaced service wrote an empty string for "none" in places.
    Ok(Some(UserThumbnail { url: url.filter(|url| !url.is_empty()), failure, variants }))
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
    fulfilments::table.find(order_id).select(fulfilments::created_at).get_result(connection).optional()
}
