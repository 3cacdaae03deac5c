//! The effects of a retry or a cancellation outside of the row of the job, by kind.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

use crate::db::UnixMillis;
use crate::jobs::{Handler, Job, Kind};

/// Publishes the event of a job, once its end is durable.
pub(super) type Publish = Box<dyn FnOnce() + Send>;
type OnDead = dyn Fn(&mut SqliteConnection, &Job, &str, UnixMillis) -> QueryResult<Option<Publish>> + Send + Sync;

/// The hooks of one kind of job: those of its [`Handler`], without the handler's resources.
#[derive(Clone)]
pub struct KindHooks {
    pub(super) kind: Kind,
    pub(super) on_dead: Arc<OnDead>,
    pub(super) on_requeued: fn(&mut SqliteConnection, &Job) -> QueryResult<()>,
}

impl KindHooks {
    /// The hooks of this handler; its events are not published.
    pub fn of<H: Handler>() -> Self {
        Self::publishing::<H>(drop)
    }

    /// The hooks of this handler; `publish` publishes its events. It must not block.
    pub(crate) fn publishing<H: Handler>(publish: impl Fn(H::Event) + Clone + Send + Sync + 'static) -> Self {
        let on_dead = move |connection: &mut SqliteConnection, job: &Job, message: &str, now| {
            let publish = publish.clone();
            let event = H::on_dead(connection, job, message, now)?;
            Ok(event.map(|event| Box::new(move || publish(event)) as Publish))
        };
        Self { kind: H::KIND, on_dead: Arc::new(on_dead), on_requeued: H::on_requeued }
    }
}
