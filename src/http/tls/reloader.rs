//! Loads the certificate again: on request, and when its files have changed.

use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::pair::Pair;
use super::{Files, Tls};

/// How often the files are compared with those that were loaded: a renewed certificate is used without a signal.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Device, inode, size and time of the last change, in nanoseconds; `None` if the file cannot be found.
pub(super) type Stamp = Option<(u64, u64, u64, i128)>;

/// Loads the pair again. It is the only task that does.
pub(crate) struct Reloader {
    files: Files,
    /// The files of the last attempt.
    attempted: [Stamp; 2],
    tls: Tls,
}

impl Reloader {
    /// `attempted` are the files that were loaded first.
    pub(super) fn new(files: Files, attempted: [Stamp; 2], tls: Tls) -> Self {
        Self { files, attempted, tls }
    }

    /// Runs until the shutdown. Loads the files again after each notification, and once they have changed.
    pub(crate) async fn run(self, requested: Arc<Notify>, shutdown: CancellationToken) {
        let reload = async {
            let mut reloader = self;
            loop {
                let is_requested = tokio::select! {
                    () = requested.notified() => true,
                    () = sleep(CHECK_INTERVAL) => false,
                };
                match tokio::task::spawn_blocking(move || reloader.reload(is_requested)).await {
                    Ok(back) => reloader = back,
                    Err(error) => {
                        tracing::error!(error = &error as &dyn Error, "cannot load the certificate again");
                        return;
                    }
                }
            }
        };
        shutdown.run_until_cancelled(reload).await;
    }

    fn reload(mut self, is_requested: bool) -> Self {
        self.check(is_requested);
        self
    }

    /// Replaces the pair if it is requested or if the files have changed since the last attempt, and if they can be
    /// used. Returns whether it was replaced. Blocks while it reads them.
    fn check(&mut self, is_requested: bool) -> bool {
        let stamps = stamps(&self.files);
        if !is_requested && stamps == self.attempted {
            return false;
        }
        self.attempted = stamps;
        match Pair::load(&self.files) {
            Ok(pair) => {
                let (_, state) = pair.validity.now();
                tracing::info!(path = %self.files.cert.display(), "serve.tls.cert was loaded again; it {state}");
                pair.warn();
                self.tls.replace(pair);
                true
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn Error,
                    "the certificate was not loaded again; the previous one stays in use"
                );
                false
            }
        }
    }
}

/// The state of both files.
pub(super) fn stamps(files: &Files) -> [Stamp; 2] {
    [&files.cert, &files.key].map(|path| stamp(path))
}

fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok()?;
    let changed_ns = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
    Some((file.dev(), file.ino(), file.size(), changed_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");

    #[test]
    fn changed_files_are_loaded_once_and_unusable_ones_never_replace_the_pair() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files { cert: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
        let copy = |from: &str, to: &Path| {
            // As certbot and Kubernetes do: a new file replaces the old one.
            let temporary = folder.path().join("temporary");
            fs::copy(Path::new(FOLDER).join(from), &temporary).unwrap();
            fs::rename(temporary, to).unwrap();
        };
        copy("receiver.pem", &files.cert);
        copy("receiver.key", &files.key);
        let (tls, mut reloader) = Tls::load(files.clone()).unwrap();
        let (first, expires_at) = (tls.current.pair(), tls.expires_at());
        assert!(!reloader.check(false), "nothing has changed");
        copy("authority.pem", &files.cert);
        assert!(!reloader.check(false) && !reloader.check(true), "the key is of another certificate");
        assert!(Arc::ptr_eq(&first, &tls.current.pair()));
        copy("receiver.pem", &files.cert);
        assert!(reloader.check(false), "the files are a pair again");
        assert!(!reloader.check(false), "they were loaded");
        assert!(reloader.check(true), "a request needs no change");
        assert!(!Arc::ptr_eq(&first, &tls.current.pair()));
        assert!((tls.expires_at() - expires_at).abs() < 1.0);
        fs::remove_file(&files.key).unwrap();
        assert!(!reloader.check(false));
    }
}
