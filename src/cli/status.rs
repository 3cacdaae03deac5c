//! `m3a3 status`: the thumbnail status of a user.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueHint, value_parser};
use reqwest::{StatusCode, Url};

use super::remote::api::{self, Api, ApiResponse, Outcome, Server, seconds};
use super::remote::retry::Backoff;
use super::subcommand::{Launcher, Subcommand};
use super::{help, output};
use crate::config::{Config, Overrides};
use crate::ids::UserId;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);

const EXAMPLES: &str = "\
Examples:
  m3a3 status 1
  m3a3 status 1 --wait
  m3a3 status 1 --wait --wait-for-user            also if user 1 has uploaded nothing yet
  m3a3 status 1 --wait --attempts 10 --max-delay-s 5
  m3a3 status 1 --url https://images.example.org

Prints the server's response as JSON. Exit codes: 0 the thumbnail is ready, 1 it is not.";

/// Print the thumbnail status of a user
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Status {
    /// User id
    #[arg(value_hint = ValueHint::Other)]
    user: UserId,
    /// Wait until the thumbnail is ready
    #[arg(long)]
    wait: bool,
    /// Wait also for a user that does not exist yet
    #[arg(long, requires = "wait")]
    wait_for_user: bool,
    /// Maximum attempts
    #[arg(
        long,
        value_name = "N",
        default_value = "5",
        value_parser = value_parser!(u32).range(1..),
        requires = "wait",
        value_hint = ValueHint::Other
    )]
    attempts: u32,
    /// Seconds to wait after the first attempt; doubled after each one
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "1",
        value_parser = seconds,
        requires = "wait",
        value_hint = ValueHint::Other
    )]
    base_delay_s: Duration,
    /// Maximum seconds to wait between two attempts
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "30",
        value_parser = seconds,
        requires = "wait",
        value_hint = ValueHint::Other
    )]
    max_delay_s: Duration,
    /// Timeout of an attempt in seconds; the server holds a request for 30
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "35",
        value_parser = seconds,
        requires = "wait",
        value_hint = ValueHint::Other
    )]
    timeout_s: Duration,
    #[command(flatten)]
    server: Server,
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
        let hint = match self.wait && !self.wait_for_user && response.status == StatusCode::NOT_FOUND {
            true => " (--wait-for-user waits for the first upload)",
            false => "",
        };
        bail!("user {}: {}{hint}", self.user, response.message())
    }

    async fn ask(&self, api: &Api) -> anyhow::Result<Outcome> {
        let url = self.url(api)?;
        Ok(api.send(api.get(&url).timeout(REQUEST_TIMEOUT)).await)
    }

    fn url(&self, api: &Api) -> anyhow::Result<Url> {
        api.url(&format!("status/{}", self.user))
    }

    /// Requests the live status until it is final or no attempt is left. The live status of an unknown user is pending,
    /// so the status is requested first, which is final then.
    async fn poll(&self, api: &Api) -> anyhow::Result<Outcome> {
        let (status, live) = (self.url(api)?, api.url(&format!("status-live/{}", self.user))?);
        let backoff = Backoff { attempts: self.attempts, base: self.base_delay_s, max: self.max_delay_s };
        let mut is_known = self.wait_for_user;
        let ask = async || {
            if !is_known {
                let outcome = api.send(api.get(&status).timeout(self.timeout_s)).await;
                is_known = outcome.as_ref().is_ok_and(is_pending_upload);
                if !is_known {
                    return api::attempt(outcome, is_pending);
                }
            }
            api::attempt(api.send(api.get(&live).timeout(self.timeout_s)).await, is_pending)
        };
        Ok(backoff.retry(ask).await)
    }
}

fn is_done(response: &ApiResponse) -> bool {
    response.status == StatusCode::OK && response.text("status") == Some("done")
}

fn is_pending_upload(response: &ApiResponse) -> bool {
    response.status == StatusCode::OK && response.text("status") == Some("pending")
}

/// Whether a retry may get another response: the job is pending, or the server is overloaded or failing.
fn is_pending(response: &ApiResponse) -> bool {
    is_pending_upload(response)
        || response.status == StatusCode::REQUEST_TIMEOUT
        || response.status == StatusCode::TOO_MANY_REQUESTS
        || response.status.is_server_error()
}
