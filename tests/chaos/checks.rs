//! The final checks: no acknowledged request is lost, and all views agree.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Double, Text};
use serde_json::Value;

use crate::clients::Answered;
use crate::cluster::Installation;
use crate::harness::binary::Ran;
use crate::receiver::Receiver;
use crate::watchers::Watcher;

/// Without a decrease of the number of unfinished jobs.
const STALL_TIMEOUT: Duration = Duration::from_secs(45);
/// For boards and deliveries after the last job.
const CONVERGE_TIMEOUT: Duration = Duration::from_secs(45);

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct Score {
    #[diesel(sql_type = Text)]
    username: String,
    #[diesel(sql_type = Double)]
    score: f64,
}

fn connect(installation: &Installation) -> Option<SqliteConnection> {
    let mut connection = SqliteConnection::establish(installation.database().to_str()?).ok()?;
    diesel::sql_query("PRAGMA busy_timeout = 10000").execute(&mut connection).ok()?;
    Some(connection)
}

/// The result of a counting query; `None` if the database cannot be read.
pub fn count(installation: &Installation, query: &str) -> Option<i64> {
    diesel::sql_query(query).get_result::<Count>(&mut connect(installation)?).ok().map(|row| row.count)
}

/// Waits until every job has finished. Returns the unfinished ones after a timeout.
pub async fn until_jobs_finished(installation: &Installation) -> Vec<String> {
    let unfinished = "SELECT count(*) AS count FROM jobs WHERE state IN ('queued', 'running')";
    let (mut left, mut changed) = (i64::MAX, Instant::now());
    loop {
        match count(installation, unfinished) {
            Some(0) => return Vec::new(),
            Some(now) if now < left => (left, changed) = (now, Instant::now()),
            _ if changed.elapsed() > STALL_TIMEOUT => break,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let query = "SELECT kind || ' job ' || id AS name, state || ', ' || attempts || ' attempts, run_at ' || run_at || \
                 ', error ' || coalesce(error, 'none') AS value FROM jobs WHERE state IN ('queued', 'running') LIMIT 20";
    let rows =
        connect(installation).and_then(|mut connection| diesel::sql_query(query).load::<Named>(&mut connection).ok());
    let rows = rows.unwrap_or_default().into_iter();
    rows.map(|row| format!("STUCK {}: {} for {STALL_TIMEOUT:?}", row.name, row.value)).collect()
}

/// The acknowledged requests that were lost.
pub async fn lost_requests(installation: &Installation, answered: &Answered, receiver: &Receiver) -> Vec<String> {
    let mut connection = connect(installation).expect("the database can be read");
    let mut lost = uploads(&mut connection, answered);
    lost.extend(scores(&mut connection, answered));
    let started = Instant::now();
    let missing = || answered.orders.iter().filter(|order| receiver.accepted(order) == 0);
    while missing().next().is_some() && started.elapsed() < CONVERGE_TIMEOUT {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    lost.extend(missing().map(|order| format!("LOST order {order}: its webhook was not delivered")));
    lost
}

fn uploads(connection: &mut SqliteConnection, answered: &Answered) -> Vec<String> {
    let query = "SELECT job_id AS name, state || coalesce(': ' || failure, '') AS value FROM images";
    let rows: Vec<Named> = diesel::sql_query(query).load(connection).unwrap();
    let states: HashMap<String, String> = rows.into_iter().map(|row| (row.name, row.value)).collect();
    let mut lost = Vec::new();
    for upload in &answered.uploads {
        let job = &upload.job;
        match states.get(job).map(String::as_str) {
            None => lost.push(format!("LOST upload {job}: answered with 200, but it has no row")),
            Some("done") => {}
            Some(state) if state.starts_with("failed") && upload.is_bad => {}
            Some(state) => lost.push(format!("LOST upload {job} of a good image ended as {state}")),
        }
        let ended = states.get(job).and_then(|state| state.split(':').next());
        if let Some(polled) = &upload.polled
            && ended != Some(polled.as_str())
        {
            lost.push(format!("CHANGED upload {job}: a poll said {polled}, now it is {ended:?}"));
        }
    }
    lost
}

fn scores(connection: &mut SqliteConnection, answered: &Answered) -> Vec<String> {
    let rows: Vec<Score> = diesel::sql_query("SELECT username, score FROM scores").load(connection).unwrap();
    let scores: HashMap<String, f64> = rows.into_iter().map(|row| (row.username, row.score)).collect();
    let mut lost = Vec::new();
    for (name, score) in &answered.set {
        if scores.get(name) != Some(score) {
            lost.push(format!("LOST score of {name}: answered {score}, the database has {:?}", scores.get(name)));
        }
    }
    let between = |name: &String, low: i64, high: i64| {
        let found = scores.get(name).copied().unwrap_or(0.0);
        let fits = (low as f64..=high as f64).contains(&found);
        (!fits).then(|| format!("LOST score of {name}: {found} in the database, expected {low} to {high}"))
    };
    lost.extend(
        answered
            .added
            .iter()
            .filter_map(|(name, points)| between(name, points.answered, points.answered + points.unknown)),
    );
    lost.extend(answered.best.iter().filter_map(|(name, (answered, sent))| between(name, *answered, *sent)));
    lost
}

/// Responses with a client error. All requests were valid.
pub fn client_errors(answered: &Answered) -> Vec<String> {
    let refused = answered.refused.iter().filter(|(answer, _)| answer.starts_with('4'));
    refused.map(|(answer, count)| format!("CLIENT ERROR {count} requests were answered with {answer}")).collect()
}

/// Kinds of requests without any success, which the run has not tested.
pub fn kinds_without_success(answered: &Answered) -> Vec<String> {
    let added: i64 = answered.added.values().map(|points| points.answered).sum();
    let kinds = [
        ("upload", answered.uploads.is_empty()),
        ("order", answered.orders.is_empty()),
        ("score that is set", answered.set.is_empty()),
        ("score that is added", added == 0),
    ];
    let untested = kinds.into_iter().filter(|(_, none)| *none);
    untested.map(|(kind, _)| format!("UNTESTED no {kind} was answered with 200")).collect()
}

/// Images that were stored more than once. Each was uploaded once, or retried with its key.
pub fn duplicate_images(installation: &Installation) -> Vec<String> {
    let query = "SELECT path AS name, count(*) || ' images' AS value FROM images GROUP BY path HAVING count(*) > 1";
    let rows: Vec<Named> =
        diesel::sql_query(query).load(&mut connect(installation).expect("the database can be read")).unwrap();
    rows.iter().map(|row| format!("DUPLICATE {}: {}", row.name, row.value)).collect()
}

/// The panics in the logs. A panic that is caught in a task or request does not end its process.
pub fn panics(installation: &Installation) -> Vec<String> {
    let files = std::fs::read_dir(&installation.logs).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|file| file.extension().is_some_and(|extension| extension == "log"));
    let of_log = |log: PathBuf| {
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
        let panics = text.lines().filter(|line| line.contains("panicked"));
        panics.map(|line| format!("PANIC {}: {line}", log.display())).collect::<Vec<_>>()
    };
    logs.flat_map(of_log).collect()
}

/// Dead jobs, except those of invalid images.
pub fn dead_jobs(installation: &Installation, answered: &Answered) -> Vec<String> {
    let query = "SELECT kind || ' job ' || id AS name, coalesce(error, '') AS value FROM jobs WHERE state = 'dead'";
    let rows: Vec<Named> =
        diesel::sql_query(query).load(&mut connect(installation).expect("the database can be read")).unwrap();
    let good: std::collections::HashSet<_> =
        answered.uploads.iter().filter(|upload| !upload.is_bad).map(|upload| &upload.job).collect();
    let is_lost = |row: &Named| match row.name.strip_prefix("thumbnail job ") {
        // An upload without a response may be invalid too.
        Some(id) => good.contains(&id.to_owned()),
        None => !row.value.contains("image") && !row.value.contains("picture"),
    };
    rows.iter().filter(|row| is_lost(row)).map(|row| format!("DEAD {}: {}", row.name, row.value)).collect()
}

/// Waits until the board in Redis equals the database. Returns the differences after a timeout.
pub async fn board_differences(installation: &Installation, ask: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let started = Instant::now();
    loop {
        let rows: Vec<Score> = connect(installation)
            .and_then(|mut connection| {
                diesel::sql_query("SELECT username, score FROM scores").load(&mut connection).ok()
            })
            .expect("the database can be read");
        let players = rows.len();
        let differs = |row: &Score| {
            let found = ask(&format!("ZSCORE leaderboard {}", row.username));
            found.as_deref().and_then(|found| found.parse::<f64>().ok()) != Some(row.score)
        };
        let differing: Vec<Score> = rows.into_iter().filter(differs).collect();
        if differing.is_empty() || started.elapsed() > CONVERGE_TIMEOUT {
            let count = differing.len();
            let of =
                |row: Score| format!("BOARD {} differs: {} in the database, not in Redis", row.username, row.score);
            let mut texts: Vec<String> = differing.into_iter().take(10).map(of).collect();
            if count > 0 {
                texts.push(format!("BOARD {count} of {players} players differ from the database"));
            }
            return texts;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Waits until each watcher has the current board of its server. Returns the others after a timeout.
pub async fn stale_watchers(http: &reqwest::Client, watchers: &[Watcher]) -> Vec<String> {
    let mut stale = Vec::new();
    for watcher in watchers {
        let started = Instant::now();
        loop {
            let (expected, seen) = (top_ten(http, &watcher.url).await, watcher.board());
            if expected.is_some() && expected == seen {
                break;
            }
            if started.elapsed() > CONVERGE_TIMEOUT {
                stale.push(format!("STALE {}: GET /leaderboard has {expected:?}, it has {seen:?}", watcher.name));
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    stale
}

/// The top ten in the format of the watchers.
async fn top_ten(http: &reqwest::Client, url: &str) -> Option<Value> {
    let page: Value = http.get(format!("{url}/leaderboard")).send().await.ok()?.json().await.ok()?;
    let players = page["players"]
        .as_array()?
        .iter()
        .map(|player| serde_json::json!({ "username": player["username"], "score": player["score"] }));
    Some(players.collect())
}

/// The result of `m3a3 audit`.
pub fn audit(installation: &Installation) -> Vec<String> {
    let ran = Ran::of(&mut installation.command(&["audit"]));
    match (ran.code, ran.stdout.contains("not compared")) {
        (Some(0), false) => Vec::new(),
        _ => vec![format!("AUDIT ended with {:?}:\n{}{}", ran.code, ran.stdout, ran.stderr)],
    }
}
