//! The jobs that a runner runs at the moment.

use std::collections::HashMap;

use tokio::task::{self, JoinSet};

use crate::ids::JobId;

/// The tasks of the running jobs, with the lease token of each. A job can occur twice, under a lost lease and under a
/// new one.
pub(super) struct RunningJobs {
    /// The name of the kind.
    kind: &'static str,
    leases: HashMap<task::Id, (JobId, i64)>,
    tasks: JoinSet<()>,
}

impl RunningJobs {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, leases: HashMap::new(), tasks: JoinSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// The running jobs with their lease tokens.
    pub(super) fn leases(&self) -> Vec<(JobId, i64)> {
        self.leases.values().copied().collect()
    }

    /// Starts the task of a job with its lease token.
    pub(super) fn spawn(&mut self, lease: (JobId, i64), work: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(work);
        self.leases.insert(task.id(), lease);
    }

    /// Waits until a job has ended, and forgets it; `None` if none is running. Cancel safe.
    pub(super) async fn join_next(&mut self) -> Option<()> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(kind = self.kind, error = %error, "the task of a job panicked");
                error.id()
            }
        };
        self.leases.remove(&id);
        Some(())
    }

    /// Aborts all tasks, and returns the jobs with their lease tokens.
    pub(super) async fn abort(mut self) -> Vec<(JobId, i64)> {
        self.tasks.shutdown().await;
        self.leases.into_values().collect()
    }
}
