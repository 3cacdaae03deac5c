//! `m3a3 status`: the thumbnail status of a user.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, value_parser};
use reqwest::StatusCode;

use super::output;
use super::remote::api::{self, Api, ApiResponse, Outcome, Server};
use super::remote::retry::Backoff;
use super::subcommand::{Launcher, Subcommand};
use crate::config::{Config, Overrides};
use crate::ids::UserId;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);

const EXAMPLES: &str = "\
Examples:
  m3a3 status 1
  m3a3 status 1 --wait
  m3a3 status 1 --wait --attempts 10 --max-delay-s 5 --url https://images.example.org

Prints the server's response as JSON. Exit codes: 0 the thumbnail is ready, 1 it is not.";

/// Print the thumbnail status of a user
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {
    /// User id
    user: UserId,
    /// Wait until the thumbnail is ready
    #[arg(long)]
    wait: bool,
    /// Maximum attempts
    #[arg(long, value_name = "N", default_value = "5", value_parser = value_parser!(u32).range(1..), requires = "wait")]
    attempts: u32,
    /// Seconds to wait after the first attempt; doubled after each one
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds, requires = "wait")]
    base_delay_s: Duration,
    /// Maximum seconds to wait between two attempts
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, requires = "wait")]
    max_delay_s: Duration,
    /// Timeout of an attempt in seconds; the server holds a request for 30
    #[arg(long, value_name = "SECONDS", default_value = "35", value_parser = seconds, requires = "wait")]
    timeout_s: Duration,
    #[command(flatten)]
    server: Server,
}

/// Parses seconds, which may have decimals.
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
        let response = outcome?;
        if !response.body.is_null() {
            output::print(&format!("{}\n", response.body))?;
        }
        if is_done(&response) {
            return Ok(ExitCode::SUCCESS);
        }
        bail!("user {}: {}", self.user, response.message())
    }

    async fn ask(&self, api: &Api) -> anyhow::Result<Outcome> {
        let url = api.url(&format!("status/{}", self.user))?;
        Ok(api.send(api.get(&url).timeout(REQUEST_TIMEOUT)).await)
    }

    /// Requests the live status until it is final or no attempt is left.
    async fn poll(&self, api: &Api) -> anyhow::Result<Outcome> {
        let url = api.url(&format!("status-live/{}", self.user))?;
        let backoff = Backoff { attempts: self.attempts, base: self.base_delay_s, max: self.max_delay_s };
        let ask = async || api::attempt(api.send(api.get(&url).timeout(self.timeout_s)).await, is_pending);
        Ok(backoff.retry(ask).await)
    }
}

fn is_done(response: &ApiResponse) -> bool {
    response.status == StatusCode::OK && response.text("status") == Some("done")
}

/// Whether a retry may get another response: the job is pending, or the server is overloaded or failing.
fn is_pending(response: &ApiResponse) -> bool {
    let pending = response.status == StatusCode::OK && response.text("status") == Some("pending");
    pending
        || response.status == StatusCode::REQUEST_TIMEOUT
        || response.status == StatusCode::TOO_MANY_REQUESTS
        || response.status.is_server_error()
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
