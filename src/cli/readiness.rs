//! What `/readyz` asks in every server.

use diesel::RunQueryDsl;
use futures_util::FutureExt;

use crate::bus::Bus;
use crate::db::Database;
use crate::http::health::{Check, Readiness};

/// Whether the database answers, and whether Redis is there; without Redis work goes on.
pub(super) fn database_and_redis(database: &Database, bus: &Bus) -> Readiness {
    let (database, bus) = (database.clone(), bus.clone());
    Readiness::default()
        .with("database", move || {
            let database = database.clone();
            async move {
                let read = database.read(|connection| diesel::sql_query("SELECT 1 FROM users").execute(connection));
                read.await.map_or_else(|error| Check::Unavailable(error.to_string()), |_| Check::Fine)
            }
            .boxed()
        })
        .with("redis", move || {
            let check = match bus.is_connected() {
                true => Check::Fine,
                false => Check::Degraded("not connected; work goes on, news come later".to_owned()),
            };
            async { check }.boxed()
        })
}
