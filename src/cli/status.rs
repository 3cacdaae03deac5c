//! `m3a3 status`: what became of a user's picture.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, value_parser};
use reqwest::StatusCode;

use super::output;
use super::remote::api::{self, Answer, Api, Outcome, Server};
use super::remote::backoff::Backoff;
use super::subcommand::{Launcher, Subcommand};
use crate::config::{Config, Overrides};
use crate::ids::UserId;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);

const EXAMPLES: &str = "\
Examples:
  m3a3 status 1
  m3a3 status 1 --wait
  m3a3 status 1 --wait --attempts 10 --max-delay-s 5 --url https://pictures.example.org

The server's answer goes to stdout as JSON. Exits with 0 when the thumbnail is there, else with 1.";

/// Ask what became of a user's picture
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {
    /// The user's number
    user: UserId,
    /// Wait until the thumbnail is there, asking again when that takes long
    #[arg(long)]
    wait: bool,
    /// How often to ask in all
    #[arg(long, value_name = "N", default_value = "5", value_parser = value_parser!(u32).range(1..), requires = "wait")]
    attempts: u32,
    /// Seconds to wait after the first attempt; they double with each further one
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds, requires = "wait")]
    base_delay_s: Duration,
    /// The most seconds to wait between two attempts
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, requires = "wait")]
    max_delay_s: Duration,
    /// Seconds after which an attempt is given up; the server holds one for 30
    #[arg(long, value_name = "SECONDS", default_value = "35", value_parser = seconds, requires = "wait")]
    timeout_s: Duration,
    #[command(flatten)]
    server: Server,
}

/// A number of seconds, which may have decimals.
fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or("expected a number of seconds, 0 or more")
}

impl Subcommand for Status {
    fn override_config(&self, overrides: &mut Overrides) {
        self.server.override_config(overrides);
    }

    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(async move |config| self.print(config).await)
    }
}

impl Status {
    async fn print(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let api = self.server.api(config)?;
        let outcome = if self.wait { self.poll(&api).await? } else { self.ask(&api).await? };
        let answer = outcome?;
        if !answer.body.is_null() {
            output::print(&format!("{}\n", answer.body))?;
        }
        if is_done(&answer) {
            return Ok(ExitCode::SUCCESS);
        }
        bail!("user {}: {}", self.user, answer.message())
    }

    async fn ask(&self, api: &Api) -> anyhow::Result<Outcome> {
        let url = api.url(&format!("status/{}", self.user))?;
        Ok(api.send(api.get(&url).timeout(REQUEST_TIMEOUT)).await)
    }

    /// Asks for the live status until it is final or no attempt is left.
    async fn poll(&self, api: &Api) -> anyhow::Result<Outcome> {
        let url = api.url(&format!("status-live/{}", self.user))?;
        let backoff = Backoff { attempts: self.attempts, base: self.base_delay_s, max: self.max_delay_s };
        let ask = async || api::attempt(api.send(api.get(&url).timeout(self.timeout_s)).await, is_pending);
        Ok(backoff.retry(ask).await)
    }
}

fn is_done(answer: &Answer) -> bool {
    answer.status == StatusCode::OK && answer.text("status") == Some("done")
}

/// Whether an answer may be another one soon: not yet done, or a server that has no time or is broken.
fn is_pending(answer: &Answer) -> bool {
    let pending = answer.status == StatusCode::OK && answer.text("status") == Some("pending");
    pending
        || answer.status == StatusCode::REQUEST_TIMEOUT
        || answer.status == StatusCode::TOO_MANY_REQUESTS
        || answer.status.is_server_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_decimals_and_are_never_negative() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "-1", "NaN", "inf", "1e30", "1s"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
