//! The totals of the warehouse.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use serde::Serialize;

/// The totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) assets: i64,
    /// Images that are stored as an asset.
    pub(crate) references: i64,
    /// The size of the assets.
    pub(crate) bytes: i64,
    /// The additional size if every image were stored separately.
    pub(crate) bytes_saved: i64,
    /// Fulfilled orders by the day on which they were placed (UTC, `2026-11-24`).
    pub(crate) orders_per_day: BTreeMap<String, i64>,
}

/// Reads every row once.
pub(crate) fn report(connection: &mut SqliteConnection) -> QueryResult<Report> {
    let Sums { assets, references, bytes, referenced } = diesel::sql_query(
        "SELECT
             (SELECT count(*) FROM assets) AS assets,
             (SELECT count(*) FROM asset_references) AS refs,
             (SELECT coalesce(sum(bytes), 0) FROM assets) AS bytes,
             (SELECT coalesce(sum(bytes), 0) FROM asset_references JOIN assets USING (sha256)) AS referenced",
    )
    .get_result(connection)?;
    let days = diesel::sql_query(
        "SELECT date(placed_at / 1000, 'unixepoch') AS day, count(*) AS orders FROM fulfilments GROUP BY day",
    )
    .load::<Day>(connection)?;
    let orders_per_day = days.into_iter().map(|Day { day, orders }| (day, orders)).collect();
    Ok(Report { assets, references, bytes, bytes_saved: referenced - bytes, orders_per_day })
}

#[derive(QueryableByName)]
struct Sums {
    #[diesel(sql_type = BigInt)]
    assets: i64,
    #[diesel(sql_type = BigInt, column_name = refs)]
    references: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    /// The size of the assets, each counted once per reference.
    #[diesel(sql_type = BigInt)]
    referenced: i64,
}

#[derive(QueryableByName)]
struct Day {
    #[diesel(sql_type = Text)]
    day: String,
    #[diesel(sql_type = BigInt)]
    orders: i64,
}
