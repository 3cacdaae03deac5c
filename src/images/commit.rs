//! The last step of an image's request: its file becomes durable, and its rows are inserted.
//!
//! The step runs in a task of its own. A client that disconnects meanwhile drops its request, and would otherwise leave
//! a file that no row names and no quota counts.

use std::future::Future;
use std::sync::Arc;

use actix_web::web;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::store::{Acceptance, Submission};
use super::upload::CheckedUpload;
use super::{State, orphans};
use crate::events::ImageUploaded;
use crate::files::Discarded;
use crate::http::Problem;
use crate::ids::TraceParent;

/// The commits of a process; a clone shares them. The permits of their requests bound their number.
#[derive(Clone)]
pub(crate) struct Commits {
    tasks: TaskTracker,
    /// Outlives the threads of the server, which drop their tasks when they end.
    runtime: Handle,
}

impl Commits {
    /// Commits that run on the current runtime.
    pub(crate) fn on_this_runtime() -> Self {
        Self { tasks: TaskTracker::new(), runtime: Handle::current() }
    }

    /// Runs a commit to its end, even if the returned future is dropped.
    async fn run<T: Send + 'static>(
        &self,
        commit: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let token = self.tasks.token();
        if self.tasks.is_closed() {
            return Err(Problem::unavailable("the server is shutting down"));
        }
        let owned = async move {
            let _token = token;
            commit.await
        };
        self.runtime.spawn(owned).await.unwrap_or_else(|error| Err(Problem::internal(error)))
    }

    /// Waits for the running commits. Refuses those that begin later.
    pub(crate) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// An image that was received and checked.
pub(super) enum Received {
    ByPath(Submission),
    Upload(CheckedUpload),
}

/// Makes the image durable. `held` is dropped at the end of the commit, not of the request.
pub(super) async fn commit(
    state: &web::Data<State>,
    received: Received,
    trace: Option<TraceParent>,
    held: impl Send + 'static,
) -> Result<Acceptance, Problem> {
    let owned = state.clone();
    let commit = async move {
        let submission = match received {
            Received::ByPath(submission) => submission,
            Received::Upload(upload) => upload.store(&owned).await?,
        };
        let acceptance = insert(&owned, Submission { trace, ..submission }).await?;
        if let Acceptance::New(receipt) = &acceptance {
            owned.bus.publish(&ImageUploaded {
                user_id: receipt.user_id,
                image_path: receipt.path.clone(),
                job_id: Some(receipt.job_id),
            });
        }
        drop(held);
        Ok(acceptance)
    };
    state.commits.run(commit).await
}

/// Inserts the rows. Removes the file that a refused or failed upload has created.
async fn insert(state: &State, submission: Submission) -> Result<Acceptance, Problem> {
    let (files, quotas, submission) = (state.files.clone(), state.quotas, Arc::new(submission));
    let inserted = Arc::clone(&submission);
    let accepted = state.database.try_write(move |connection| {
        // Files are removed in write transactions too: either the removal sees this row, or this sees the removal.
        if files.names_upload(&inserted.path) && !files.has_upload(&inserted.path) {
            return Ok(None);
        }
        let accepted = quotas.accept(connection, &inserted)?;
        let discarded = match &accepted {
            Ok(Acceptance::New(_) | Acceptance::AlreadyAccepted(_)) => None,
            Ok(Acceptance::Conflict) | Err(_) => orphans::discard_refused(connection, &files, &inserted)?,
        };
        Ok(Some((accepted, discarded)))
    });
    let accepted = match accepted.await {
        Ok(accepted) => accepted,
        Err(error) if submission.created_after.is_none() => return Err(error.into()),
        Err(error) => {
            // The insertion has failed, for example because too many writes wait, which is over soon.
            let files = state.files.clone();
            let discard = move |connection: &mut _| orphans::discard_refused(connection, &files, &submission);
            remove(state.database.write(discard).await.unwrap_or_default()).await?;
            return Err(error.into());
        }
    };
    let removed = || Problem::unavailable("the upload's file was removed in the meantime");
    let (accepted, discarded) = accepted.ok_or_else(removed)?;
    remove(discarded).await?;
    Ok(accepted?)
}

async fn remove(discarded: Option<Discarded>) -> Result<(), Problem> {
    let Some(discarded) = discarded else { return Ok(()) };
    tokio::task::spawn_blocking(|| discarded.remove()).await.map_err(Problem::internal)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, poll};
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_commit_outlives_its_request_and_is_awaited_at_the_end() {
        let commits = Commits::on_this_runtime();
        let (proceed, gate) = oneshot::channel::<()>();
        let (held, mut released) = oneshot::channel::<()>();
        let mut request = Box::pin(commits.run(async move {
            let _ = gate.await;
            drop(held);
            Ok(())
        }));
        assert!(poll!(&mut request).is_pending());
        drop(request);
        let mut finished = Box::pin(commits.finished());
        tokio::task::yield_now().await;
        assert!(poll!(&mut finished).is_pending() && (&mut released).now_or_never().is_none());
        proceed.send(()).unwrap();
        finished.await;
        assert!(released.now_or_never().is_some());
        assert!(commits.run(async { Ok(()) }).await.is_err(), "none begins after the end");
    }
}
