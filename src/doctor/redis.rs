//! Checks Redis: its latency, the subscribers of each channel, and the leaderboard.

use std::time::Duration;

use reqwest::Url;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Finding;
use crate::bus::{Bus, BusError};
use crate::db::Location;
use crate::leaderboard::{self, Lag};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a game server may take to send committed scores.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// A higher latency delays notifications noticeably.
const MAX_LATENCY: Duration = Duration::from_millis(100);

pub(super) async fn check(url: &str, database: Option<&Location>) -> Vec<Finding> {
    match Bus::connection_error(url).await {
        Ok(None) => {}
        Ok(Some(reason)) => return vec![unreachable(url, &reason)],
        Err(error) => return vec![Finding::error("Redis", error.to_string(), "check redis.url")],
    }
    let shutdown = CancellationToken::new();
    let (bus, task) = match Bus::start(url, shutdown.clone()) {
        Ok(started) => started,
        Err(error) => return vec![Finding::error("Redis", error.to_string(), "check redis.url")],
    };
    let findings =
        check_connected(&bus, database).await.unwrap_or_else(|error| vec![unreachable(url, &error.to_string())]);
    shutdown.cancel();
    task.finished().await;
    findings
}

fn unreachable(url: &str, reason: &str) -> Finding {
    let advice = match reason {
        reason if reason.starts_with("WRONGPASS") || reason.starts_with("NOAUTH") || reason.contains("password") => {
            "check the username and the password in redis.url"
        }
        _ => "start Redis, or `m3a3 up` with its own, or check redis.url; until then notifications are delayed",
    };
    Finding::error("Redis", format!("{}: {reason}", host_and_port(url)), advice)
}

/// The host and port of the URL, without credentials.
fn host_and_port(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port().unwrap_or(6379))));
    host.unwrap_or_else(|| "the server of redis.url".to_owned())
}

async fn check_connected(bus: &Bus, database: Option<&Location>) -> Result<Vec<Finding>, BusError> {
    timeout(CONNECT_TIMEOUT, bus.connected()).await.map_err(|_| BusError::Disconnected)?;
    let latency = ping(bus).await?;
    let detail = format!("answers within {:.1} ms", latency.as_secs_f64() * 1e3);
    let latency = match latency > MAX_LATENCY {
        false => Finding::ok("Redis", detail),
        true => Finding::error("Redis", detail, "check the load of Redis and of the network (SLOWLOG GET)"),
    };
    let mut findings = vec![latency, subscribers(&bus.subscriber_counts().await?)];
    if let Some(database) = database {
        findings.extend(leaderboard(database, bus).await?);
    }
    Ok(findings)
}

/// Whether Redis has the scores of the database; `None` if the database cannot be read, which is another finding.
async fn leaderboard(database: &Location, bus: &Bus) -> Result<Option<Finding>, BusError> {
    let mut lag = leaderboard::lag(database, bus).await?;
    // Scores committed a moment ago may be in transit.
    if matches!(lag, Ok(Lag::Behind(_))) {
        sleep(CATCH_UP_TIMEOUT).await;
        lag = leaderboard::lag(database, bus).await?;
    }
    Ok(match lag {
        Ok(Lag::None) => Some(Finding::ok("leaderboard", "Redis has every score")),
        Ok(Lag::Behind(commits)) => Some(Finding::warning(
            "leaderboard",
            format!("Redis lacks up to {commits} commits of the database"),
            "check that a game server is running; its log shows why it does not send them",
        )),
        Ok(Lag::Refused(reason)) => Some(Finding::error(
            "leaderboard",
            format!("Redis refuses the leaderboard: {reason}"),
            "repair the cause; scores are stored, and sent once Redis accepts them",
        )),
        Err(_) => None,
    })
}

/// The latency of a second PING, because the first one may include the setup of the connection.
async fn ping(bus: &Bus) -> Result<Duration, BusError> {
    bus.ping().await?;
    bus.ping().await
}

/// A channel without subscribers is only a warning, because sweeps find the work without messages.
fn subscribers(channels: &[(String, u64)]) -> Finding {
    let detail = channels.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ");
    let silent = channels.iter().filter(|(_, count)| *count == 0).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    match silent.is_empty() {
        true => Finding::ok("subscribers", detail),
        false => Finding::warning(
            "subscribers",
            detail,
            format!("no subscriber of {}: check that every process is running", silent.join(", ")),
        ),
    }
}
