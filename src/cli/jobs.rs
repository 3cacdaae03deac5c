//! `m3a3 jobs`: inspects and manages jobs.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum, ValueHint};

use super::arguments::{job_kind, job_state};
use super::composition::data_access::{with_database, with_redis};
use super::composition::job_registry::job_kinds;
use super::help;
use super::output;
use super::output::table::table;
use super::subcommand::{Launcher, Subcommand};
use crate::config::Config;
use crate::db::{Database, DbError, UnixMillis, now, timestamp};
use crate::ids::{JobId, UserId};
use crate::jobs::operator::{self, Age, Filter, Intervention, JobDetails, JobSummary};
use crate::jobs::{JobState, Kind};

const EXAMPLES: &str = "\
Examples:
  m3a3 jobs list --state dead                       dead jobs and their errors
  m3a3 jobs list --kind email --since 2h --format json
  m3a3 jobs show 01a20af3-7c5c-7497-8f81-9c67afd551d6
  m3a3 jobs retry --state dead --kind webhook
  m3a3 jobs purge --older-than 7d

They work on the database; no server or worker needs to run. The API server has the same under /admin/jobs.";

/// Inspect and manage jobs
#[derive(clap::Subcommand)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) enum Jobs {
    List(List),
    Show(Show),
    Retry(Retry),
    Cancel(Cancel),
    Purge(Purge),
}

/// List jobs, newest first
#[derive(Args)]
pub(super) struct List {
    /// Only jobs in this state
    #[arg(long, value_parser = job_state(&JobState::ALL))]
    state: Option<JobState>,
    /// Only jobs of this kind
    #[arg(long, value_parser = job_kind())]
    kind: Option<Kind>,
    /// Only jobs of this user
    #[arg(long, value_name = "ID", value_hint = ValueHint::Other)]
    user: Option<UserId>,
    /// Only jobs created since a time such as 2026-11-24T10:00:00Z, or an age such as 2h or 7d
    #[arg(long, value_name = "TIME", value_hint = ValueHint::Other, value_parser = since)]
    since: Option<UnixMillis>,
    /// Maximum number of jobs
    #[arg(
        long,
        value_name = "N",
        default_value = "100",
        value_parser = clap::value_parser!(i64).range(1..),
        value_hint = ValueHint::Other
    )]
    limit: i64,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Show a job and its attempts
#[derive(Args)]
pub(super) struct Show {
    /// Job id
    #[arg(value_hint = ValueHint::Other)]
    id: JobId,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Queue dead or cancelled jobs again
#[derive(Args)]
pub(super) struct Retry {
    /// Job ids
    #[arg(
        value_name = "ID",
        required_unless_present = "state",
        conflicts_with = "state",
        value_hint = ValueHint::Other
    )]
    ids: Vec<JobId>,
    /// All jobs in this state
    #[arg(long, value_parser = job_state(&RETRIABLE))]
    state: Option<JobState>,
    /// With --state, only jobs of this kind
    #[arg(long, value_parser = job_kind(), requires = "state")]
    kind: Option<Kind>,
}

/// Cancel unfinished jobs
#[derive(Args)]
pub(super) struct Cancel {
    /// Job ids
    #[arg(value_name = "ID", value_hint = ValueHint::Other, required = true)]
    ids: Vec<JobId>,
}

/// Delete finished jobs
#[derive(Args)]
pub(super) struct Purge {
    /// Minimum age, such as 90s, 2h or 7d
    #[arg(long, value_name = "AGE", value_hint = ValueHint::Other)]
    older_than: Age,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns
    Table,
    /// JSON with every field
    Json,
}

/// The states that can be retried.
const RETRIABLE: [JobState; 2] = [JobState::Dead, JobState::Cancelled];

fn since(text: &str) -> Result<UnixMillis, &'static str> {
    operator::since(text, now()).ok_or("expected a time such as 2026-11-24T10:00:00Z, or an age such as 2h or 7d")
}

impl Subcommand for Jobs {
    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(async |config| {
            with_database(config, async |database| match self {
                Self::List(list) => list.run(&database).await,
                Self::Show(show) => show.run(&database),
                Self::Retry(retry) => retry.run(&database).await,
                Self::Cancel(cancel) => cancel.run(&database, config).await,
                Self::Purge(purge) => purge.run(&database).await,
            })
            .await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

impl List {
    async fn run(&self, database: &Database) -> anyhow::Result<()> {
        let filter = Filter { state: self.state, kind: self.kind, user: self.user, since: self.since, before: None };
        let limit = self.limit;
        let found = database.read(move |connection| operator::list(connection, &filter, limit)).await?;
        output::print(&match self.format {
            Format::Json => format!("{}\n", serde_json::to_string_pretty(&found)?),
            Format::Table => rows(&found),
        })
    }
}

fn rows(jobs: &[JobSummary]) -> String {
    let rows: Vec<_> = jobs
        .iter()
        .map(|job| {
            let user = job.user_id.map(|user| user.to_string()).unwrap_or_default();
            let error = job.error.clone().or_else(|| job.note.clone()).unwrap_or_default();
            let (kind, state, created) =
                (job.kind.clone(), job.state.name().to_owned(), timestamp::text(job.created_at));
            [job.id.to_string(), kind, state, job.attempts.to_string(), user, created, error]
        })
        .collect();
    table(["ID", "KIND", "STATE", "ATTEMPTS", "USER", "CREATED", "ERROR OR NOTE"], &rows)
}

impl Show {
    fn run(&self, database: &Database) -> anyhow::Result<()> {
        let id = self.id;
        let Some(shown) = database.read_point(|connection| operator::show(connection, id))? else {
            bail!("there is no job {id}");
        };
        output::print(&match self.format {
            Format::Json => format!("{}\n", serde_json::to_string_pretty(&shown)?),
            Format::Table => described(&shown),
        })
    }
}

fn described(JobDetails { job, payload, history }: &JobDetails) -> String {
    let mut rows = vec![
        ["id".to_owned(), job.id.to_string()],
        ["kind".to_owned(), job.kind.clone()],
        ["state".to_owned(), job.state.name().to_owned()],
        ["attempts".to_owned(), job.attempts.to_string()],
        ["crashes".to_owned(), job.crashes.to_string()],
        ["created".to_owned(), timestamp::text(job.created_at)],
        ["due".to_owned(), timestamp::text(job.run_at)],
    ];
    let optional = [
        ("ended", job.finished_at.map(timestamp::text)),
        ("error", job.error.clone()),
        ("note", job.note.clone()),
        ("payload", Some(payload.to_string())),
    ];
    rows.extend(optional.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?])));
    let attempts: Vec<_> = history
        .iter()
        .map(|attempt| {
            let ended = attempt.ended_at.map(timestamp::text).unwrap_or_default();
            let error = attempt.error.clone().unwrap_or_default();
            let started = timestamp::text(attempt.started_at);
            [started, ended, attempt.outcome.name().to_owned(), attempt.worker.to_string(), error]
        })
        .collect();
    let attempts = table(["STARTED", "ENDED", "OUTCOME", "WORKER", "ERROR"], &attempts);
    format!("{}\n{attempts}", table(["FIELD", "VALUE"], &rows))
}

impl Retry {
    async fn run(&self, database: &Database) -> anyhow::Result<()> {
        if self.state.is_none() {
            let hooks = job_kinds(drop);
            let retry = async |id| {
                let hooks = hooks.clone();
                database.write(move |connection| operator::retry(connection, &hooks, id, now())).await
            };
            return intervene(&self.ids, "queued", retry).await;
        }
        let filter = Filter { state: self.state, kind: self.kind, ..Filter::default() };
        let retried = operator::retry_all(database, &job_kinds(drop), filter).await?;
        output::print(&format!("{retried} queued\n"))
    }
}

impl Cancel {
    /// Publishes the end of each job, so that waiting clients are notified; without Redis they notice it later.
    async fn run(&self, database: &Database, config: &Config) -> anyhow::Result<()> {
        with_redis(config, async |bus| {
            let hooks = job_kinds(move |finished| bus.publish(&finished));
            intervene(&self.ids, "cancelled", async |id| operator::cancel(database, &hooks, id).await).await
        })
        .await
    }
}

impl Purge {
    async fn run(&self, database: &Database) -> anyhow::Result<()> {
        let purged = operator::purge(database, self.older_than.before(now())).await?;
        output::print(&format!("{purged} removed\n"))
    }
}

/// Applies an operation to each job. Fails in the end if it did not apply to some of them, and names those.
async fn intervene(
    ids: &[JobId],
    done: &str,
    act: impl AsyncFn(JobId) -> Result<Intervention, DbError>,
) -> anyhow::Result<()> {
    let mut refused = Vec::new();
    for &id in ids {
        match act(id).await? {
            Intervention::Done => output::print(&format!("{id} {done}\n"))?,
            Intervention::Refused(state) => refused.push(format!("{id} is {}", state.name())),
            Intervention::Unknown => refused.push(format!("there is no job {id}")),
        }
    }
    if refused.is_empty() { Ok(()) } else { bail!("unchanged: {}", refused.join(", ")) }
}
