//! The rows of assets, references and fulfilments. Every function runs inside the caller's transaction and is
//! idempotent.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::metadata::Metadata;
use crate::db::UnixMillis;
use crate::db::schema::{asset_references, assets, fulfilments};
use crate::ids::{OrderId, UserId};

/// Stores an image as an asset, or as a reference to the asset with the same content.
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
            asset_references::user_id.eq(user_id),
            asset_references::created_at.eq(at),
        ))
        .execute(connection)?;
    Ok(())
}

/// Fulfils an order.
pub(super) fn fulfil(
    connection: &mut SqliteConnection,
    order_id: &OrderId,
    placed_at: UnixMillis,
    at: UnixMillis,
) -> QueryResult<()> {
    diesel::insert_or_ignore_into(fulfilments::table)
        .values((
            fulfilments::order_id.eq(order_id),
            fulfilments::placed_at.eq(placed_at),
            fulfilments::created_at.eq(at),
        ))
        .execute(connection)?;
    Ok(())
}
