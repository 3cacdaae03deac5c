//! `m3a3 upload`: uploads images to the API server, and optionally waits for their thumbnails.
//!
//! Streams a few files at a time. Each has an `Idempotency-Key`, so that a retried request uploads nothing twice.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueHint, value_parser};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, StatusCode, Url};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::remote::api::{self, Api, ApiResponse, Server};
use super::remote::retry::{Attempt, Backoff};
use super::subcommand::{Launcher, Subcommand};
use super::{help, output};
use crate::config::{Config, Overrides};
use crate::ids::UserId;

const MAX_CONCURRENT: usize = 3;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const MAX_DELAY: Duration = Duration::from_secs(30);
/// The minimum upload rate; with the base timeout, it limits the time of an upload.
const MIN_BYTES_PER_SECOND: u64 = 32 * 1024;
const BASE_TIMEOUT: Duration = Duration::from_secs(60);
/// More than the longest time that a server holds a poll.
const POLL_TIMEOUT: Duration = Duration::from_secs(75);
/// The pause between polls, for a server that returns "pending" without holding them.
const POLL_PAUSE: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  m3a3 upload photo.jpg --user 1
  m3a3 upload *.jpg --user 1 --wait
  m3a3 upload photo.jpg --user 1 --wait | jq -r .thumbnailUrl

Shows progress on a terminal, otherwise prints one JSON object per file, in the order of the files. Continues after \
a failed file, and exits with 1 at the end.";

/// Upload images of a user
#[derive(Args)]
#[command(after_help = help::laid_out(EXAMPLES))]
pub(super) struct Upload {
    /// Image files
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// User id
    #[arg(long, value_name = "ID", value_hint = ValueHint::Other)]
    user: UserId,
    /// Wait for the thumbnails and print their URLs
    #[arg(long)]
    wait: bool,
    /// Maximum attempts when the server is unreachable or overloaded
    #[arg(
        long,
        value_name = "N",
        value_hint = ValueHint::Other,
        default_value = "5",
        value_parser = value_parser!(u32).range(1..)
    )]
    attempts: u32,
    #[command(flatten)]
    server: Server,
}

impl Subcommand for Upload {
    fn override_config(&self, overrides: &mut Overrides) {
        self.server.override_config(overrides);
    }

    fn run(self, launcher: Launcher) -> anyhow::Result<ExitCode> {
        launcher.run(async move |config| self.upload_all(config).await)
    }
}

impl Upload {
    async fn upload_all(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let session = Session {
            api: self.server.api(config)?,
            user: self.user,
            wait: self.wait,
            backoff: Backoff { attempts: self.attempts, base: FIRST_DELAY, max: MAX_DELAY },
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
        };
        let session = &session;
        let results = stream::iter(&self.files).map(|file| async move { (file, session.upload(file).await) });
        let mut results = std::pin::pin!(results.buffered(MAX_CONCURRENT));
        let mut failed = 0;
        while let Some((file, result)) = results.next().await {
            failed += usize::from(result.is_err());
            session.bars.suspend(|| report(file, &result))?;
        }
        if failed > 0 && self.files.len() > 1 {
            bail!("{failed} of {} files failed", self.files.len());
        }
        Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Prints the result of one file to stdout, and its error to stderr.
fn report(file: &Path, result: &anyhow::Result<Uploaded>) -> anyhow::Result<()> {
    let name = file.display();
    if let Err(error) = result {
        output::print_error(&format!("{name}: {}", output::chain(error)));
    }
    match (io::stdout().is_terminal(), result) {
        (true, Err(_)) => Ok(()),
        (true, Ok(Uploaded { thumbnail: Some(url), .. })) => output::print(&format!("{name}: {url}\n")),
        (true, Ok(Uploaded { accepted, .. })) => output::print(&format!("{name}: job {}\n", accepted.job)),
        (false, result) => output::print(&format!("{}\n", line(file, result))),
    }
}

fn line(file: &Path, result: &anyhow::Result<Uploaded>) -> Value {
    let mut line = json!({ "file": file.display().to_string() });
    match result {
        Err(error) => {
            line["status"] = json!("failed");
            line["message"] = json!(output::chain(error));
        }
        Ok(Uploaded { accepted, thumbnail }) => {
            line["status"] = json!(if thumbnail.is_some() { "done" } else { "accepted" });
            line["jobId"] = json!(accepted.job);
            line["imagePath"] = accepted.image_path.clone();
            if let Some(url) = thumbnail {
                line["thumbnailUrl"] = json!(url);
            }
        }
    }
    line
}

/// The server's response to an accepted upload.
struct Accepted {
    job: String,
    image_path: Value,
}

/// An accepted upload, and with `--wait` the URL of its thumbnail.
struct Uploaded {
    accepted: Accepted,
    thumbnail: Option<String>,
}

/// The uploads of one command.
struct Session {
    api: Api,
    user: UserId,
    wait: bool,
    backoff: Backoff,
    bars: MultiProgress,
}

impl Session {
    async fn upload(&self, file: &Path) -> anyhow::Result<Uploaded> {
        let size = size_of_file(file).await?;
        let bar = self.bars.add(bar(file, size));
        let result = self.send_and_wait(file, size, &bar).await;
        bar.finish_and_clear();
        result
    }

    async fn send_and_wait(&self, file: &Path, size: u64, bar: &ProgressBar) -> anyhow::Result<Uploaded> {
        let accepted = self.send(file, size, bar).await?;
        let thumbnail = match self.wait {
            false => None,
            true => {
                bar.set_message("waiting for the thumbnail");
                Some(self.thumbnail(&accepted.job).await?)
            }
        };
        Ok(Uploaded { accepted, thumbnail })
    }

    /// Sends the file until the server accepts or refuses it.
    async fn send(&self, file: &Path, size: u64, bar: &ProgressBar) -> anyhow::Result<Accepted> {
        let url = self.api.url("enqueue")?;
        let key = Uuid::new_v4().to_string();
        let timeout = BASE_TIMEOUT + Duration::from_secs(size / MIN_BYTES_PER_SECOND);
        let response = self
            .backoff
            .retry(async || {
                bar.set_position(0);
                let form = match form(self.user, file, size, bar).await {
                    Ok(form) => form,
                    Err(error) => return Attempt::Final(Err(error)),
                };
                let request = self.api.post(&url).header("Idempotency-Key", &key).timeout(timeout).multipart(form);
                api::attempt(self.api.send(request).await, overloaded).map(|outcome| outcome.map_err(Into::into))
            })
            .await?;
        if !response.status.is_success() {
            bail!(response.message());
        }
        let job = response.text("jobId").context("the server's response has no jobId")?.to_owned();
        Ok(Accepted { job, image_path: response.body["imagePath"].clone() })
    }

    /// Waits until the job has finished, and returns the thumbnail's URL.
    async fn thumbnail(&self, job: &str) -> anyhow::Result<String> {
        let url = self.api.url(&format!("jobs/{job}/live"))?;
        loop {
            let response = self.poll(&url).await?;
            match (response.status, response.text("status")) {
                (StatusCode::OK, Some("done")) => {
                    let path = response.text("thumbnailUrl").context("the server's response has no thumbnailUrl")?;
                    return Ok(self.api.url(path)?.into());
                }
                (StatusCode::OK | StatusCode::REQUEST_TIMEOUT, Some("pending")) => {
                    tokio::time::sleep(POLL_PAUSE).await;
                }
                _ => bail!(response.message()),
            }
        }
    }

    async fn poll(&self, url: &Url) -> anyhow::Result<ApiResponse> {
        let poll = async || api::attempt(self.api.send(self.api.get(url).timeout(POLL_TIMEOUT)).await, overloaded);
        Ok(self.backoff.retry(poll).await?)
    }
}

/// The longest `Retry-After` of a limit by the minute. Beyond it, a limit by the day is reached.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Whether the server may accept the same request soon. A 429 of m3a3 without `Retry-After` is a quota, which time does
/// not free; that of a proxy may lack it.
fn overloaded(response: &ApiResponse) -> bool {
    match response.status.as_u16() {
        429 => match response.retry_after {
            Some(wait) => wait <= LONGEST_WAIT,
            None => response.text("requestId").is_none(),
        },
        status => matches!(status, 502..=504),
    }
}

/// The size of a regular file in bytes. Anything else is refused: opening a pipe would block.
async fn size_of_file(file: &Path) -> anyhow::Result<u64> {
    let metadata = tokio::fs::metadata(file).await.context("cannot be read")?;
    if metadata.is_dir() {
        bail!("is a directory, not an image");
    }
    if !metadata.is_file() {
        bail!("is not a file");
    }
    Ok(metadata.len())
}

/// The form of one request, which streams the file.
async fn form(user: UserId, file: &Path, size: u64, bar: &ProgressBar) -> anyhow::Result<Form> {
    let bytes = ReaderStream::new(File::open(file).await.context("cannot be read")?);
    let bar = bar.clone();
    let bytes = bytes.inspect_ok(move |chunk| bar.inc(chunk.len() as u64));
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let image = Part::stream_with_length(Body::wrap_stream(bytes), size).file_name(name);
    Ok(Form::new().text("userId", user.to_string()).part("image", image))
}

fn bar(file: &Path, size: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {bytes}/{total_bytes} {msg}");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(size).with_style(style).with_prefix(file.display().to_string())
}
