//! The warehouse job: stores an image as an asset, or fulfils an order.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use m3a3_thumbnail::Limits;
use tokio::task::JoinError;

use super::metadata::{Metadata, metadata};
use super::store;
use crate::db::UnixMillis;
use crate::files::{Files, OpenError, Original, SETTLED_AFTER};
use crate::ids::{ImagePath, OrderId, UserId};
use crate::job_payloads::WarehouseTask;
use crate::jobs::{Failure, Handler, Job, Slot, causes};

const NOT_STORED: &str = "The image could not be stored in the warehouse.";

/// Runs warehouse jobs.
pub(crate) struct WarehouseWorker {
    files: Files,
    limits: Limits,
    max_bytes: u64,
}

impl WarehouseWorker {
    /// `max_bytes` is the size of the largest image that is read.
    pub(crate) fn new(files: Files, limits: Limits, max_bytes: u64) -> Self {
        Self { files, limits, max_bytes }
    }

    /// The metadata of a file, or the reason why it has none. Waits for a file that may still be written, because the
    /// metadata of half a file would be wrong.
    async fn inspect(&self, path: ImagePath) -> Result<Result<Metadata, String>, Failure> {
        for pause in [SETTLED_AFTER, Duration::ZERO] {
            let (files, limits, max_bytes, path) = (self.files.clone(), self.limits, self.max_bytes, path.clone());
            let inspected = tokio::task::spawn_blocking(move || inspect(&files, &path, &limits, max_bytes)).await;
            match inspected.unwrap_or_else(|error| Err(interrupted(error)))? {
                Inspected::Settled(metadata) => return Ok(metadata),
                Inspected::Unsettled => tokio::time::sleep(pause).await,
            }
        }
        Err(Failure::retry("the file is still being written", NOT_STORED))
    }
}

/// A runtime that shuts down cancels tasks that wait for a thread, which says nothing about the image.
fn interrupted(error: JoinError) -> Failure {
    if error.is_cancelled() { Failure::environment(error, NOT_STORED) } else { Failure::retry(error, NOT_STORED) }
}

enum Inspected {
    Settled(Result<Metadata, String>),
    Unsettled,
}

/// The result of a warehouse job.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Asset {
        image_id: i64,
        user_id: UserId,
        metadata: Metadata,
    },
    /// The file cannot become an asset, for this reason.
    NotAnImage(String),
    Order {
        order_id: OrderId,
        placed_at: UnixMillis,
    },
}

impl Handler for WarehouseWorker {
    type Task = WarehouseTask;
    type Effect = Effect;
    type Event = ();

    async fn run(&self, _: &Job, task: WarehouseTask, _slot: Slot) -> Result<Effect, Failure> {
        match task {
            WarehouseTask::Order { order_id, placed_at, .. } => Ok(Effect::Order { order_id, placed_at }),
            WarehouseTask::Image { image_id, user_id, image_path } => Ok(match self.inspect(image_path).await? {
                Ok(metadata) => Effect::Asset { image_id, user_id, metadata },
                Err(reason) => Effect::NotAnImage(reason),
            }),
        }
    }

    fn operator_note(effect: &Effect) -> Option<String> {
        match effect {
            Effect::NotAnImage(reason) => Some(format!("no asset: {reason}")),
            Effect::Asset { .. } | Effect::Order { .. } => None,
        }
    }

    fn apply(connection: &mut SqliteConnection, _: &Job, effect: Effect, now: UnixMillis) -> QueryResult<()> {
        match effect {
            Effect::Asset { image_id, user_id, metadata } => {
                store::insert_asset(connection, image_id, user_id, &metadata, now)
            }
            Effect::NotAnImage(_) => Ok(()),
            Effect::Order { order_id, placed_at } => store::fulfil(connection, &order_id, placed_at, now),
        }
    }

    fn on_dead(_: &mut SqliteConnection, _: &Job, _: &str, _: UnixMillis) -> QueryResult<Option<()>> {
        Ok(None)
    }

    fn publish(&self, (): ()) {}
}

/// The blocking part of [`WarehouseWorker::inspect`].
fn inspect(files: &Files, path: &ImagePath, limits: &Limits, max_bytes: u64) -> Result<Inspected, Failure> {
    match files.open_original(path, max_bytes) {
        Ok(original) => read_metadata(original, limits),
        Err(error @ OpenError::Storage(_)) => Err(Failure::environment(error, NOT_STORED)),
        Err(error @ (OpenError::Missing | OpenError::Unreadable(_))) => Err(Failure::retry(error, NOT_STORED)),
        Err(error @ (OpenError::Outside | OpenError::NotAFile(_) | OpenError::TooLarge { .. })) => {
            Ok(Inspected::Settled(Err(error.to_string())))
        }
    }
}

fn read_metadata(mut original: Original, limits: &Limits) -> Result<Inspected, Failure> {
    let known = original.sha256().map(str::to_owned);
    match metadata(&mut original, known, limits) {
        Err(error) if error.is_of_storage() => Err(Failure::environment(causes(&error), NOT_STORED)),
        Err(error @ m3a3_thumbnail::Error::Read { .. }) => Err(Failure::retry(causes(&error), NOT_STORED)),
        Err(_) if original.is_damaged().map_err(|error| Failure::environment(error, NOT_STORED))? => {
            Err(Failure::environment("the upload is damaged: its bytes are not those that were uploaded", NOT_STORED))
        }
        _ if !original.is_settled() => Ok(Inspected::Unsettled),
        metadata => Ok(Inspected::Settled(metadata.map_err(|error| error.to_string()))),
    }
}
