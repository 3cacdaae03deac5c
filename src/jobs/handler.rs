//! The contract between the engine and the worker of one kind of job.

use std::future::Future;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use super::{Failure, Job, Kind, Slot, Task};
use crate::db::UnixMillis;

/// The worker of one kind of job.
pub trait Handler: Send + Sync + 'static {
    /// The payload.
    type Task: Task;
    /// The result of a successful attempt, which [`Handler::apply`] writes.
    type Effect: Clone + Send + Sync + 'static;
    /// Published once the end of a job is durable.
    type Event: Send + 'static;

    /// The kind of job it runs.
    const KIND: Kind = <Self::Task as Task>::KIND;

    /// Does the work. An attempt may be repeated, and may overlap with another one after a lost lease, so side effects
    /// outside of the database must be idempotent. The slot may be dropped once only waiting for the disk is left.
    fn run(
        &self,
        job: &Job,
        task: Self::Task,
        slot: Slot,
    ) -> impl Future<Output = Result<Self::Effect, Failure>> + Send;

    /// A note for the operator on a job that is done, such as why nothing was sent.
    fn operator_note(_effect: &Self::Effect) -> Option<String> {
        None
    }

    /// Writes the effect, in the transaction that marks the job as done.
    ///
    /// # Errors
    /// When a statement fails. An error of the environment is retried with the same effect; any other error fails the
    /// attempt.
    fn apply(
        connection: &mut SqliteConnection,
        job: &Job,
        effect: Self::Effect,
        now: UnixMillis,
    ) -> QueryResult<Self::Event>;

    /// Records that the job is given up, in the transaction that marks it as dead or cancelled. `message` is for the
    /// user whom the job is for.
    fn on_dead(
        connection: &mut SqliteConnection,
        job: &Job,
        message: &str,
        now: UnixMillis,
    ) -> QueryResult<Option<Self::Event>>;

    /// Reverts [`Handler::on_dead`], in the transaction that queues the job again.
    fn on_requeued(_connection: &mut SqliteConnection, _job: &Job) -> QueryResult<()> {
        Ok(())
    }

    /// Publishes an event after the commit. Must not block.
    fn publish(&self, event: Self::Event);
}
