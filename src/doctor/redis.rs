//! Redis: does it answer, how fast, and who listens?

use std::time::Duration;

use reqwest::Url;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Finding;
use crate::bus::{Bus, BusError};
use crate::db::Location;
use crate::leaderboard::{self, Lag};

const PATIENCE: Duration = Duration::from_secs(5);
/// How long a game server may take to send what it has committed.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Slower than this, Redis holds up whoever waits for news.
const SLOW: Duration = Duration::from_millis(100);

pub(super) async fn check(url: &str, database: Option<&Location>) -> Vec<Finding> {
    match Bus::obstacle(url).await {
        Ok(None) => {}
        Ok(Some(reason)) => return vec![unreachable(url, &reason)],
        Err(error) => return vec![Finding::error("Redis", error.to_string(), "check redis.url")],
    }
    let shutdown = CancellationToken::new();
    let (bus, task) = match Bus::start(url, shutdown.clone()) {
        Ok(started) => started,
        Err(error) => return vec![Finding::error("Redis", error.to_string(), "check redis.url")],
    };
    let findings = ask(&bus, database).await.unwrap_or_else(|error| vec![unreachable(url, &error.to_string())]);
    shutdown.cancel();
    task.finished().await;
    findings
}

fn unreachable(url: &str, reason: &str) -> Finding {
    let advice = match reason {
        reason if reason.starts_with("WRONGPASS") || reason.starts_with("NOAUTH") || reason.contains("password") => {
            "check the username and the password in redis.url"
        }
        _ => "start Redis, or `m3a3 up` with its own, or check redis.url; until then news come late",
    };
    Finding::error("Redis", format!("{}: {reason}", place(url)), advice)
}

/// The URL without what may be secret.
fn place(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port().unwrap_or(6379))));
    host.unwrap_or_else(|| "the server of redis.url".to_owned())
}

async fn ask(bus: &Bus, database: Option<&Location>) -> Result<Vec<Finding>, BusError> {
    timeout(PATIENCE, bus.connected()).await.map_err(|_| BusError::Disconnected)?;
    let latency = ping(bus).await?;
    let detail = format!("answers within {:.1} ms", latency.as_secs_f64() * 1e3);
    let answers = match latency > SLOW {
        false => Finding::ok("Redis", detail),
        true => Finding::error("Redis", detail, "look what keeps Redis or the network busy (SLOWLOG GET)"),
    };
    let mut findings = vec![answers, listeners(&bus.listeners().await?)];
    if let Some(database) = database {
        findings.extend(leaderboard(database, bus).await?);
    }
    Ok(findings)
}

/// Whether Redis has the scores of the database; nothing where that cannot be read, which is another finding.
async fn leaderboard(database: &Location, bus: &Bus) -> Result<Option<Finding>, BusError> {
    let mut lag = leaderboard::lag(database, bus).await?;
    // What was committed a moment ago is on its way.
    if matches!(lag, Ok(Lag::Behind(_))) {
        sleep(CATCH_UP).await;
        lag = leaderboard::lag(database, bus).await?;
    }
    Ok(match lag {
        Ok(Lag::None) => Some(Finding::ok("leaderboard", "Redis has every score")),
        Ok(Lag::Behind(commits)) => Some(Finding::warning(
            "leaderboard",
            format!("Redis misses up to {commits} commits of the database"),
            "is a game server running? its log says why it does not send them",
        )),
        Ok(Lag::Refused(reason)) => Some(Finding::error(
            "leaderboard",
            format!("Redis refuses the leaderboard: {reason}"),
            "scores are stored and sent once Redis takes them; repair what it names",
        )),
        Err(_) => None,
    })
}

/// The second answer's time: the first one pays for what is set up.
async fn ping(bus: &Bus) -> Result<Duration, BusError> {
    bus.ping().await?;
    bus.ping().await
}

/// Nobody who listens is worrying and no more: the sweeps find what no message told of.
fn listeners(channels: &[(String, u64)]) -> Finding {
    let detail = channels.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
    let deaf = channels.iter().filter(|(_, count)| *count == 0).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    match deaf.is_empty() {
        true => Finding::ok("subscribers", detail),
        false => {
            Finding::warning("subscribers", detail, format!("nobody hears {}: is everything started?", deaf.join(", ")))
        }
    }
}
