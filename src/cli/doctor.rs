//! `m3a3 doctor`: checks configuration, database, Redis, disk and queues.

use std::process::ExitCode;

use clap::Args;

use super::composition::certificates::{self, Setting};
use super::composition::confirmation;
use super::composition::redis_address;
use super::subcommand::{Launcher, Subcommand};
use super::system::block_on;
use super::{help, output};
use crate::config::{Config, ConfigError};
use crate::doctor::{self, Finding, Severity};
use crate::email;
use crate::http::tls::{self, Checked, Expiry};
use crate::users::Confirmation;

const EXAMPLES: &str = "\
Examples:
  m3a3 doctor
  m3a3 doctor --database-url data/m3a3.db --redis-url redis://127.0.0.1:6379

Prints one line per check: ok, note or WRONG, the result, and how to fix it. Changes nothing, so it can run at any \
time, also beside running servers and workers. Exit codes: 0 no check is WRONG, 1 at least one is.";

/// Check configuration, database, Redis, disk and queues
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Doctor {}

impl Subcommand for Doctor {
    /// Without logging: the findings contain everything that there is to report.
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        block_on(examine(launcher.load_config()))
    }
}

async fn examine(config: Result<Config, ConfigError>) -> anyhow::Result<ExitCode> {
    let findings = match config {
        Err(error) => vec![misconfigured(&error)],
        Ok(config) => {
            let mut findings = vec![configured(&config)];
            findings.extend(doctor::check(&config, &redis_address::current(&config)).await);
            findings.push(templates(&config));
            findings.push(mail_links(&config));
            findings.push(certificates(&config));
            findings.push(tls(&config));
            findings
        }
    };
    output::print(&findings.iter().map(|finding| format!("{finding}\n")).collect::<String>())?;
    let wrong = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The mail templates, without which the email worker does not start.
fn templates(config: &Config) -> Finding {
    match email::check(&config.email) {
        Ok(()) => Finding::ok("mail templates", "all are valid"),
        Err(error) => Finding::error("mail templates", output::join(&error), "fix the template, or email.templates"),
    }
}

/// The links that confirm the addresses of user tokens.
fn mail_links(config: &Config) -> Finding {
    const SUBJECT: &str = "mail links";
    if config.auth.jwt.is_none() {
        return Finding::ok(SUBJECT, "not needed without user tokens");
    }
    match confirmation::confirmation(config, config.serve.address()) {
        Confirmation::Off => Finding::ok(SUBJECT, "email.confirm is false; user tokens set any address"),
        Confirmation::Links(url) => Finding::ok(SUBJECT, format!("addresses are confirmed by links to {url}")),
        Confirmation::NoUrl => {
            let detail = "user tokens cannot set the email address: the URL of confirmation links is unknown";
            Finding::warning(SUBJECT, detail, "set serve.public_url")
        }
    }
}

/// The CA certificates, if a setting uses TLS.
fn certificates(config: &Config) -> Finding {
    let users: Vec<_> = Setting::ALL.into_iter().filter(|setting| setting.uses_tls(config)).map(Setting::key).collect();
    if users.is_empty() {
        return Finding::ok("certificates", "no setting uses TLS");
    }
    let users = users.join(", ");
    match certificates::missing() {
        None => Finding::ok("certificates", format!("installed, for {users}")),
        Some(error) => {
            let detail = format!("{users} cannot be used without CA certificates: {error}");
            Finding::error("certificates", detail, certificates::ADVICE)
        }
    }
}

/// The certificate of the servers.
fn tls(config: &Config) -> Finding {
    const SUBJECT: &str = "TLS";
    const RENEW: &str = "renew it; servers load the new files within a minute, or at SIGHUP";
    let Some(files) = certificates::tls_files(config) else {
        return Finding::ok(SUBJECT, "serve.tls.cert is not set; the servers speak plain HTTP");
    };
    let (cert, checked) = (files.cert.display(), tls::check(&files));
    match checked {
        Err(error) => {
            let advice = "fix the files; with these no server starts, and running ones keep the previous certificate";
            Finding::error(SUBJECT, output::join(&error), advice)
        }
        Ok(Checked { expiry, validity, chain_problem }) => {
            let detail = format!("{cert} {validity}");
            match (expiry, chain_problem) {
                (Expiry::Expired, _) => Finding::error(SUBJECT, detail, RENEW),
                (Expiry::NotYetValid, _) => Finding::error(SUBJECT, detail, "check the clock, or wait until then"),
                (Expiry::Soon, _) => Finding::warning(SUBJECT, detail, RENEW),
                (Expiry::Valid, Some(problem)) => {
                    Finding::warning(SUBJECT, format!("{cert}: {problem}"), "put the certificates in this order")
                }
                (Expiry::Valid, None) => Finding::ok(SUBJECT, detail),
            }
        }
    }
}

fn misconfigured(error: &ConfigError) -> Finding {
    Finding::error("configuration", output::join(error), "fix this first; nothing can start until then")
}

fn configured(config: &Config) -> Finding {
    for host in [config.serve.host, config.game.host] {
        if let Err(error) = config.check_binding(host) {
            return misconfigured(&error);
        }
    }
    let changed = config.entries().iter().filter(|entry| entry.origin != "default").count();
    Finding::ok("configuration", format!("{changed} settings differ from the defaults (m3a3 config show)"))
}
