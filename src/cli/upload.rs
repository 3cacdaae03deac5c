//! `m3a3 upload`: sends pictures to the API server, and waits for their thumbnails if asked to.
//!
//! Files are streamed, a few at a time. Each has an `Idempotency-Key`, so that a request sent again uploads nothing
//! twice.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, value_parser};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, StatusCode, Url};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio_util::io::ReaderStream;
use uuid::Uuid;

use super::output;
use super::remote::api::{self, Answer, Api, Server};
use super::remote::backoff::{Attempt, Backoff};
use super::subcommand::{Launcher, Subcommand};
use crate::config::{Config, Overrides};
use crate::ids::UserId;

const AT_A_TIME: usize = 3;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// The slowest line that an upload is expected to get through.
const BYTES_PER_SECOND: u64 = 32 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any server holds a poll.
const POLL_TIMEOUT: Duration = Duration::from_secs(75);
/// Keeps a server that answers "pending" at once from being asked without a pause.
const POLL_PAUSE: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  m3a3 upload photo.jpg --user 1
  m3a3 upload *.jpg --user 1 --wait
  m3a3 upload photo.jpg --user 1 --wait | jq -r .thumbnailUrl

On a terminal it shows how far it is; otherwise it prints one JSON object a file, in the order of
the files. A file that fails does not keep the others from being uploaded; it exits with 1 then.";

/// Upload pictures of a user
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Upload {
    /// The pictures
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The number of the user whose pictures they are
    #[arg(long, value_name = "ID")]
    user: UserId,
    /// Wait until the thumbnails are there, and print where
    #[arg(long)]
    wait: bool,
    /// How often to ask a server in all that does not answer or has too much to do
    #[arg(long, value_name = "N", default_value = "5", value_parser = value_parser!(u32).range(1..))]
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
            backoff: Backoff { attempts: self.attempts, base: FIRST_DELAY, max: LONGEST_DELAY },
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
        };
        let session = &session;
        let results = stream::iter(&self.files).map(|file| async move { (file, session.upload(file).await) });
        let mut results = std::pin::pin!(results.buffered(AT_A_TIME));
        let mut failed = 0;
        while let Some((file, result)) = results.next().await {
            failed += usize::from(result.is_err());
            session.bars.suspend(|| tell(file, &result))?;
        }
        if failed > 0 && self.files.len() > 1 {
            bail!("{failed} of {} files failed", self.files.len());
        }
        Ok(if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// What happened to one file, on stdout; and on stderr why it failed.
fn tell(file: &Path, result: &anyhow::Result<Uploaded>) -> anyhow::Result<()> {
    let name = file.display();
    if let Err(error) = result {
        output::complain(&format!("{name}: {}", output::chain(error)));
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

/// What the server said when it took a picture.
struct Accepted {
    job: String,
    image_path: Value,
}

/// A picture that the server has, and where its thumbnail is, if that was waited for.
struct Uploaded {
    accepted: Accepted,
    thumbnail: Option<String>,
}

/// All uploads of one command.
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

    /// Sends the file until the server takes or refuses it.
    async fn send(&self, file: &Path, size: u64, bar: &ProgressBar) -> anyhow::Result<Accepted> {
        let url = self.api.url("enqueue")?;
        let key = Uuid::new_v4().to_string();
        let timeout = PATIENCE + Duration::from_secs(size / BYTES_PER_SECOND);
        let answer = self
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
        if !answer.status.is_success() {
            bail!(answer.message());
        }
        let job = answer.text("jobId").context("the server's answer has no jobId")?.to_owned();
        Ok(Accepted { job, image_path: answer.body["imagePath"].clone() })
    }

    /// Waits for the job's end, and returns the thumbnail's URL.
    async fn thumbnail(&self, job: &str) -> anyhow::Result<String> {
        let url = self.api.url(&format!("jobs/{job}/live"))?;
        loop {
            let answer = self.poll(&url).await?;
            match (answer.status, answer.text("status")) {
                (StatusCode::OK, Some("done")) => {
                    let path = answer.text("thumbnailUrl").context("the server's answer has no thumbnailUrl")?;
                    return Ok(self.api.url(path)?.into());
                }
                (StatusCode::OK | StatusCode::REQUEST_TIMEOUT, Some("pending")) => {
                    tokio::time::sleep(POLL_PAUSE).await;
                }
                _ => bail!(answer.message()),
            }
        }
    }

    async fn poll(&self, url: &Url) -> anyhow::Result<Answer> {
        let poll = async || api::attempt(self.api.send(self.api.get(url).timeout(POLL_TIMEOUT)).await, overloaded);
        Ok(self.backoff.retry(poll).await?)
    }
}

/// Whether the server may take the same request later.
fn overloaded(answer: &Answer) -> bool {
    matches!(answer.status.as_u16(), 429 | 502..=504)
}

/// The size in bytes of what can only be a file: opening a pipe would wait for its other end.
async fn size_of_file(file: &Path) -> anyhow::Result<u64> {
    let metadata = tokio::fs::metadata(file).await.context("cannot be read")?;
    if metadata.is_dir() {
        bail!("is a folder, not a picture");
    }
    if !metadata.is_file() {
        bail!("is not a file");
    }
    Ok(metadata.len())
}

/// The form of one request, which reads the file while it is sent.
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
