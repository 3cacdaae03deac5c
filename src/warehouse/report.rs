//! What the warehouse holds, in sums.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use serde::Serialize;

/// The sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Different pictures.
    pub assets: i64,
    /// Images that are one of them.
    pub references: i64,
    /// What the assets take.
    pub bytes: i64,
    /// What they would take more if every image were kept by itself.
    pub bytes_saved: i64,
    /// Orders that were taken on, by the day (UTC, `2026-11-24`) on which they were placed.
    pub orders_per_day: BTreeMap<String, i64>,
}

/// Sums up. Reads every row once.
///
/// # Errors
/// When a query fails.
pub fn report(connection: &mut SqliteConnection) -> QueryResult<Report> {
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
    /// The bytes of the assets, each as often as it is referred to.
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
