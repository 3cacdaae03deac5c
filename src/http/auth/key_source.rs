//! Where the keys of user tokens come from, and when they are loaded again.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Url;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::keys::{Expected, KeyError, Keys};
use super::user_tokens::UserTokens;
use crate::http::client;

/// How often keys are loaded without a request, so that a key which was removed from the set becomes invalid.
const INTERVAL: Duration = Duration::from_secs(600);
/// The shortest time between two loads: anyone can send tokens with unknown keys.
const COOL_DOWN: Duration = Duration::from_secs(5);
/// The time limit of a download.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_SET_BYTES: usize = 1 << 20;

/// The source of the keys.
#[derive(Clone)]
pub(crate) enum KeySource {
    /// A secret for HS256.
    Secret(Vec<u8>),
    /// A file with a JSON Web Key Set.
    File(PathBuf),
    /// The URL of a JSON Web Key Set.
    Url(Url),
}

/// Keys that cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("cannot read the keys of user tokens from {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot download the keys of user tokens")]
    Download(#[source] reqwest::Error),
    #[error("the keys of user tokens are larger than 1 MiB")]
    TooLarge,
    #[error("cannot use the keys of user tokens from {origin}")]
    Keys { origin: String, source: KeyError },
}

impl KeySource {
    /// The keys at the start; a URL may be down then, so it is loaded later.
    pub(super) fn first_keys(&self, expected: &Expected) -> Result<Option<Keys>, SourceError> {
        match self {
            Self::Secret(secret) => Ok(Some(Keys::of_secret(secret, expected))),
            Self::File(path) => {
                let text = std::fs::read(path).map_err(|source| SourceError::File { path: path.clone(), source })?;
                self.parse(&text, expected).map(Some)
            }
            Self::Url(_) => Ok(None),
        }
    }

    pub(super) fn is_reloadable(&self) -> bool {
        !matches!(self, Self::Secret(_))
    }

    /// The text of the key set.
    async fn load(&self) -> Result<Vec<u8>, SourceError> {
        match self {
            Self::Secret(secret) => Ok(secret.clone()),
            Self::File(path) => {
                tokio::fs::read(path).await.map_err(|source| SourceError::File { path: path.clone(), source })
            }
            Self::Url(url) => download(url).await,
        }
    }

    fn parse(&self, text: &[u8], expected: &Expected) -> Result<Keys, SourceError> {
        Keys::of_set(text, expected).map_err(|source| SourceError::Keys { origin: self.origin(), source })
    }

    fn origin(&self) -> String {
        match self {
            Self::Secret(_) => "the secret".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Url(url) => url.to_string(),
        }
    }
}

async fn download(url: &Url) -> Result<Vec<u8>, SourceError> {
    let client = client::builder(url).timeout(TIMEOUT).build().map_err(SourceError::Download)?;
    let response = client.get(url.clone()).send().await.and_then(|response| response.error_for_status());
    let mut chunks = response.map_err(SourceError::Download)?.bytes_stream();
    let mut text = Vec::new();
    while let Some(chunk) = chunks.next().await {
        text.extend_from_slice(&chunk.map_err(SourceError::Download)?);
        if text.len() > MAX_SET_BYTES {
            return Err(SourceError::TooLarge);
        }
    }
    Ok(text)
}

/// Requests for a reload, and the time of the last one; a clone shares them.
#[derive(Clone, Default)]
pub(super) struct Reloads {
    requested: Arc<Notify>,
    finished: watch::Sender<Option<Instant>>,
}

impl Reloads {
    /// Waits for a reload that begins now or is in progress. Returns immediately after a recent one.
    ///
    /// Cancel safe.
    pub(super) async fn next(&self) {
        let mut finished = self.finished.subscribe();
        if is_recent(*finished.borrow_and_update()) {
            return;
        }
        self.requested.notify_one();
        // The sender is part of `self`.
        let _ = finished.changed().await;
    }
}

fn is_recent(finished: Option<Instant>) -> bool {
    finished.is_some_and(|at| at.elapsed() < COOL_DOWN)
}

/// Loads the keys again at intervals and on request. It is the only task that does.
pub(crate) struct KeyReloader {
    source: KeySource,
    reloads: Reloads,
    tokens: UserTokens,
    /// The key set that was loaded last.
    text: Vec<u8>,
}

impl KeyReloader {
    pub(super) fn new(source: KeySource, reloads: Reloads, tokens: UserTokens) -> Self {
        Self { source, reloads, tokens, text: Vec::new() }
    }

    /// Runs until the shutdown. Keys stay in use while their source fails.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let requested = self.reloads.requested.clone();
        let reload = async {
            loop {
                self.reload().await;
                sleep(COOL_DOWN).await;
                tokio::select! {
                    () = requested.notified() => {}
                    () = sleep(INTERVAL) => {}
                }
            }
        };
        shutdown.run_until_cancelled(reload).await;
        // Nobody waits for a reload any more.
        self.reloads.finished.send_replace(Some(Instant::now()));
    }

    async fn reload(&mut self) {
        if let Err(error) = self.load().await {
            let origin = self.source.origin();
            tracing::warn!(origin, error = &error as &dyn std::error::Error, "cannot load the keys of user tokens");
        }
        self.reloads.finished.send_replace(Some(Instant::now()));
    }

    /// Replaces the keys if the set has changed. A set without a usable key is a decision of its owner, unlike one that
    /// cannot be read: no token is valid then.
    pub(super) async fn load(&mut self) -> Result<(), SourceError> {
        let text = self.source.load().await?;
        if text == self.text {
            return Ok(());
        }
        match self.source.parse(&text, self.tokens.expected()) {
            Ok(keys) => {
                self.tokens.replace_keys(keys);
                self.text = text;
                Ok(())
            }
            Err(error) => {
                if matches!(error, SourceError::Keys { source: KeyError::NoKey { .. }, .. }) {
                    self.tokens.replace_keys(Keys::none());
                    self.text.clear();
                }
                Err(error)
            }
        }
    }
}
