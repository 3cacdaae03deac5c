//! `m3a3 healthcheck`: whether a server is ready, for containers and supervisors.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum, ValueHint};
use reqwest::{StatusCode, Url};
use serde_json::Value;

use super::remote::api::{Api, ApiResponse, base_url, seconds};
use super::subcommand::{Launcher, Subcommand};
use super::{help, output};
use crate::address_file;
use crate::config::Config;

const EXAMPLES: &str = "\
Examples:
  m3a3 healthcheck
  m3a3 healthcheck game
  m3a3 healthcheck --url http://127.0.0.1:3010 --timeout-s 2
  m3a3 healthcheck --live

Requests /readyz, or /healthz with --live, and prints one line. A server that is degraded, such as while Redis is \
away, still accepts requests and is healthy. A response of another program is not healthy.
Exit codes: 0 the server is healthy, 1 it is not, or does not answer, 2 usage or configuration error.";

/// Check whether a server is ready
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Healthcheck {
    /// Server to check
    #[arg(value_enum, value_name = "SERVER", default_value_t = Server::Api)]
    server: Server,
    /// URL of the server [default: the one that runs on the same data, else localhost and its configured port]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, value_parser = base_url)]
    url: Option<Url>,
    /// Check only that the server answers, not that it can store anything
    #[arg(long)]
    live: bool,
    /// Timeout in seconds
    #[arg(long, value_name = "SECONDS", value_hint = ValueHint::Other, default_value = "5", value_parser = seconds)]
    timeout_s: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Server {
    /// The API server
    Api,
    /// The game server
    Game,
}

impl Subcommand for Healthcheck {
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(async move |config| self.check(config).await)
    }
}

impl Healthcheck {
    async fn check(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let (name, server) = match self.server {
            Server::Api => ("API server", address_file::Server::Api),
            Server::Game => ("game server", address_file::Server::Game),
        };
        // The routes need no token.
        let api = Api::new(self.url.as_ref(), server, config, None)?;
        let url = api.url(if self.live { "healthz" } else { "readyz" })?;
        let response = api.send(api.get(&url).timeout(self.timeout_s)).await?;
        let status = format!("{name} at {}: {}", api.base(), summary(&response));
        let healthy: &[&str] = if self.live { &["ok"] } else { &["ready", "degraded"] };
        match response.status {
            StatusCode::OK if response.text("status").is_some_and(|status| healthy.contains(&status)) => {}
            StatusCode::OK => bail!("{status} (expected the status {}; is it m3a3?)", healthy.join(" or ")),
            _ => bail!("{status}"),
        }
        output::print(&format!("{status}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The status, and the checks that are not ok.
fn summary(response: &ApiResponse) -> String {
    let Some(status) = response.text("status") else { return response.detail() };
    let mut text = status.to_owned();
    let checks = response.body.get("checks").and_then(Value::as_object);
    for (name, result) in checks.into_iter().flatten() {
        if let Some(result) = result.as_str().filter(|result| *result != "ok") {
            // Writing to a String cannot fail.
            let _ = write!(text, "; {name}: {result}");
        }
    }
    text
}
