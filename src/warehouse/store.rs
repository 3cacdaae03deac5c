//! The rows of assets, references and fulfilments. Every function runs inside the caller's transaction, and may be
//! repeated: the second time it changes nothing.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::metadata::Metadata;
use crate::db::UnixMillis;
use crate::db::schema::{asset_references, assets, fulfilments};
use crate::ids::{OrderId, UserId};

/// Keeps a picture as an asset, unless the same bytes are there already, and notes that this image is that asset.
pub(super) fn insert_asset(
    connection: &mut SqliteConnection,
    image_id: i64,
    user_id: UserId,
    metadata: &Metadata,
    at: UnixMillis,
) -> QueryResult<()> {
    diesel::insert_or_ignore_into(assets::table)
        .values((
            assets::sha256.eq(&metadata.sha256),
            assets::bytes.eq(i64::try_from(metadata.bytes).unwrap_or(i64::MAX)),
            assets::format.eq(metadata.format.extension()),
            assets::width.eq(i32::try_from(metadata.width).unwrap_or(i32::MAX)),
            assets::height.eq(i32::try_from(metadata.height).unwrap_or(i32::MAX)),
            assets::captured_at.eq(&metadata.captured_at),
            assets::created_at.eq(at),
        ))
        .execute(connection)?;
    diesel::insert_or_ignore_into(asset_references::table)
        .values((
            asset_references::image_id.eq(image_id),
            asset_references::sha256.eq(&metadata.sha256),
            asset_references::user_id.eq(user_id.get()),
            asset_references::created_at.eq(at),
        ))
        .execute(connection)?;
    Ok(())
}

/// Takes an order on.
pub(super) fn fulfil(
    connection: &mut SqliteConnection,
    order_id: &OrderId,
    placed_at: UnixMillis,
    at: UnixMillis,
) -> QueryResult<()> {
    diesel::insert_or_ignore_into(fulfilments::table)
        .values((
            fulfilments::order_id.eq(order_id.as_str()),
            fulfilments::placed_at.eq(placed_at),
            fulfilments::created_at.eq(at),
        ))
        .execute(connection)?;
    Ok(())
}
