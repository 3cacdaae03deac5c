//! The refill of an empty Redis.

use std::time::{Duration, Instant};

use anyhow::ensure;
use diesel::prelude::*;
use m3a3::bus::{Bus, Guarded, Outcome, Transaction};
use m3a3::events::LeaderboardUpdate;

use super::rig::DEADLINE;
use super::rig::report::{Report, Target};
use super::{Bench, game_server};

/// Measures the time from the start of a server with many players to a complete board in Redis.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    // The first start creates the database.
    drop(game_server(bench, "refill")?);
    let path = bench.rig.folder.path().join("refill/data/m3a3.db");
    add_players(&mut SqliteConnection::establish(&path.display().to_string())?, bench.players)?;
    let board = bench.rig.doorbell.bus.sorted_set("leaderboard");
    let total = u64::try_from(bench.players)?;
    bench.rig.generator.block_on(empty(&bench.rig.doorbell.bus))?;
    let start = Instant::now();
    let server = game_server(bench, "refill")?;
    bench.rig.generator.block_on(async {
        while board.page(0, 1).await?.total < total {
            ensure!(start.elapsed() < DEADLINE, "the refill takes too long");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    })?;
    let name = format!("An empty Redis is filled with {} players, from the start of the process", bench.players);
    report.add(&name, "s", Some(start.elapsed().as_secs_f64()), Some(Target::AtMost(5.0)));
    let cpu = server.usage().map(|usage| usage.cpu.as_secs_f64());
    report.add(&format!("{name}: CPU of the server"), "s", cpu, None);
    Ok(())
}

/// Removes all players from Redis, and sets the cursor of another board.
async fn empty(bus: &Bus) -> anyhow::Result<()> {
    let mut set = bus.guarded_set("leaderboard", "{leaderboard}:cursor");
    set.watch().await?;
    let transaction = Transaction { clear: true, ..Transaction::default() };
    let (outcome, _) = set.execute(&transaction, &LeaderboardUpdate::Other, &[]).await?;
    ensure!(outcome == Outcome::Executed(Vec::new()), "another program has changed the cursor");
    Ok(())
}

fn add_players(database: &mut SqliteConnection, players: i64) -> anyhow::Result<()> {
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {players})
         INSERT INTO scores (seq, username, score)
         SELECT i, printf('refilled player %d', i), CAST(i * 7919 % 1000003 AS REAL) FROM n"
    );
    diesel::sql_query(rows).execute(database)?;
    diesel::sql_query(format!("UPDATE leaderboard SET seq = {players}")).execute(database)?;
    Ok(())
}
