//! `POST /score`, with and without connected sockets. Every 200 must have a commit.

use anyhow::{Context, ensure};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::rig::load::{self, Client};
use super::rig::report::{Report, Target};
use super::watchers::Watchers;
use super::{Bench, game_server};

/// Players per connection, in turn.
const PLAYERS: usize = 256;

/// Measures a new server without and with watchers.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    run(bench, report, 0, None)?;
    run(bench, report, bench.sockets, Some(Target::AtMost(0.12)))
}

fn run(bench: &Bench, report: &mut Report, sockets: usize, target: Option<Target>) -> anyhow::Result<()> {
    let server = game_server(bench, &format!("scores-{sockets}"))?;
    server.ready()?;
    let name = format!("Durable `POST /score`, {} connections, {sockets} sockets", super::rig::CONNECTIONS);
    let watchers = bench.rig.generator.block_on(Watchers::connect(server.address, sockets))?;
    let load = load::run(&bench.rig, &server, Scoring::new)?;
    report.add_load(&name, &load, [None, None, target]);
    if sockets > 0 {
        let per_score = watchers.updates() as f64 / load.total as f64;
        report.add(&format!("{name}: updates delivered per score, over all sockets"), "", Some(per_score), None);
    }
    let commits = commits(&mut server.database()?)?;
    ensure!(i64::try_from(load.total) == Ok(commits), "{} responses, but {commits} commits", load.total);
    Ok(())
}

fn commits(database: &mut SqliteConnection) -> anyhow::Result<i64> {
    #[derive(QueryableByName)]
    struct Commits {
        #[diesel(sql_type = BigInt)]
        seq: i64,
    }
    let commits: Commits = diesel::sql_query("SELECT seq FROM leaderboard")
        .get_result(database)
        .context("cannot read the number of commits")?;
    Ok(commits.seq)
}

struct Scoring {
    connection: usize,
    next: usize,
    request: String,
}

impl Scoring {
    fn new(connection: usize) -> Self {
        Self { connection, next: 0, request: String::new() }
    }
}

impl Client for Scoring {
    fn request(&mut self) -> &[u8] {
        self.next += 1;
        let player = self.connection * PLAYERS + self.next % PLAYERS;
        let body = format!("{{\"username\":\"player {player}\",\"score\":{}}}", self.next * 7919 % 100_003);
        self.request = format!(
            "POST /score HTTP/1.1\r\nHost: 127.0.0.1:3011\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.request.as_bytes()
    }

    fn is_right(&mut self, body: &[u8]) -> bool {
        body.starts_with(b"{\"message\":\"Score updated successfully\",\"rank\":")
    }
}
