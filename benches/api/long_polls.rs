//! Long polls (`GET /status-live/{userId}`): memory per poll, and the time until all are answered.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::rig::DEADLINE;
use super::rig::load::Connection;
use super::rig::report::{Report, Target, millis};
use super::rig::server::Server;
use super::{Bench, rows, serve};

/// The number of connections that are opened concurrently.
const OPENING: usize = 128;

/// Holds polls on new servers: of one user, with one event, and of as many users as polls, with one event each.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for (at, polls) in bench.plan.long_polls.into_iter().enumerate() {
        for (whose, ids) in [("one user", vec![1; polls as usize]), ("a user each", (1..=polls).collect())] {
            let held = hold(bench, &format!("polls-{at}-{}", whose.len()), &ids)?;
            let name = format!("{polls} long polls, {whose}");
            report.add(&format!("{name}: memory each"), "KiB", held.kib_each, Some(Target::AtMost(12.0)));
            let target = (at == 0).then_some(Target::AtMost(200.0));
            let answered = Some(millis(held.answered));
            report.add(&format!("{name}: from the event to the last answer"), "ms", answered, target);
            report.add(&format!("{name}: CPU of the server for the answers"), "s", held.cpu, None);
        }
    }
    Ok(())
}

struct Held {
    kib_each: Option<f64>,
    answered: Duration,
    cpu: Option<f64>,
}

fn hold(bench: &Bench, folder: &str, ids: &[i64]) -> anyhow::Result<Held> {
    let server = serve(bench, folder)?;
    let mut database = server.database()?;
    let mut users = ids.to_vec();
    users.dedup();
    rows::add_waiting(&mut database, &users)?;
    server.ready()?;

    let before = server.usage();
    let polls = bench.rig.generator.block_on(ask(&server, ids))?;
    server.settle()?;
    let held = server.usage();

    let events = rows::finish_waiting(&mut database)?;
    let answered = bench.rig.generator.block_on(async {
        let mut answers = JoinSet::new();
        polls.into_iter().zip(ids).for_each(|(poll, user)| drop(answers.spawn(answer(poll, *user))));
        // All polls are held before the event; none may be answered before it.
        tokio::task::yield_now().await;
        let begun = Instant::now();
        events.iter().for_each(|event| bench.rig.doorbell.bus.publish(event));
        let mut last = begun;
        while let Some(answered) = timeout(DEADLINE, answers.join_next()).await? {
            let answered = answered??;
            ensure!(answered >= begun, "a poll was answered before the event");
            last = last.max(answered);
        }
        Ok(last - begun)
    })?;
    server.settle()?;
    let cpu = held.zip(server.usage()).map(|(before, after)| (after.cpu - before.cpu).as_secs_f64());
    let grown = before.zip(held).map(|(before, held)| held.rss_kib.saturating_sub(before.rss_kib));
    Ok(Held { kib_each: grown.map(|kib| kib as f64 / ids.len() as f64), answered, cpu })
}

/// Opens one connection per user, and sends a poll.
async fn ask(server: &Server, users: &[i64]) -> anyhow::Result<Vec<Connection>> {
    stream::iter(users)
        .map(async |user| {
            let mut connection = Connection::open(server.address).await?;
            let request = format!("GET /status-live/{user} HTTP/1.1\r\nHost: 127.0.0.1:3010\r\n\r\n");
            connection.send(request.as_bytes()).await?;
            anyhow::Ok(connection)
        })
        .buffered(OPENING)
        .try_collect()
        .await
}

/// Waits for the response of a poll, and returns the time of its arrival.
async fn answer(mut poll: Connection, user: i64) -> anyhow::Result<Instant> {
    let expected = json!({ "status": "done", "thumbnailUrl": rows::thumbnail_url(user) }).to_string();
    let (status, body) = poll.receive().await?;
    let came = Instant::now();
    ensure!(status == 200 && body == expected.as_bytes(), "{status} {}", String::from_utf8_lossy(body));
    Ok(came)
}
