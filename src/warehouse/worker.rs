//! The warehouse job: take in an image, or take on an order.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use tokio::task::JoinError;

use super::metadata::{Metadata, metadata};
use super::store;
use crate::db::UnixMillis;
use crate::files::{Files, OpenError, Original, SETTLED_AFTER};
use crate::ids::{ImagePath, OrderId, UserId};
use crate::job_payloads::WarehouseTask;
use crate::jobs::{Failure, Handler, Job, Kind, WAREHOUSE};
use crate::thumbnail::{self, Limits};

const IMAGE_NOT_STORED: &str = "The picture could not be taken into the warehouse.";
const ORDER_NOT_FULFILLED: &str = "The order could not be taken on.";

/// Takes in images and takes on orders.
pub struct WarehouseWorker {
    files: Files,
    limits: Limits,
    max_bytes: u64,
}

impl WarehouseWorker {
    /// A worker on these files, of which it takes pictures of at most `max_bytes`.
    pub fn new(files: Files, limits: Limits, max_bytes: u64) -> Self {
        Self { files, limits, max_bytes }
    }

    /// The file's metadata, or why it has none. A file that may still be written is given the time to settle: the metadata of
    /// half a file would be of another picture.
    async fn inspect(&self, path: ImagePath) -> Result<Result<Metadata, String>, Failure> {
        for pause in [SETTLED_AFTER, Duration::ZERO] {
            let (files, limits, max_bytes, path) = (self.files.clone(), self.limits, self.max_bytes, path.clone());
            let inspected = tokio::task::spawn_blocking(move || inspect(&files, &path, &limits, max_bytes)).await;
            match inspected.unwrap_or_else(|error| Err(interrupted(error)))? {
                Inspected::Settled(metadata) => return Ok(metadata),
                Inspected::Unsettled => tokio::time::sleep(pause).await,
            }
        }
        Err(Failure::retry("the file is still being written", IMAGE_NOT_STORED))
    }
}

/// A runtime that stops drops what still waits for a thread, which says nothing of the picture.
fn interrupted(error: JoinError) -> Failure {
    if error.is_cancelled() {
        Failure::environment(error, IMAGE_NOT_STORED)
    } else {
        Failure::retry(error, IMAGE_NOT_STORED)
    }
}

enum Inspected {
    Settled(Result<Metadata, String>),
    Unsettled,
}

/// What the warehouse has learned.
#[derive(Debug, Clone)]
pub enum Effect {
    /// An image is a picture.
    Asset {
        /// Which image.
        image_id: i64,
        /// Whose.
        user_id: UserId,
        /// What is known of it.
        metadata: Metadata,
    },
    /// An image is no picture, for this reason.
    NotAnImage(String),
    /// An order is taken on.
    Order {
        /// Which order.
        order_id: OrderId,
        /// When it was placed.
        placed_at: UnixMillis,
    },
}

impl Handler for WarehouseWorker {
    const KIND: Kind = WAREHOUSE;
    type Effect = Effect;
    type Event = ();

    async fn run(&self, job: &Job) -> Result<Effect, Failure> {
        match WarehouseTask::parse(&job.payload) {
            Err(error) => Err(Failure::fail(format!("the payload is no task: {error}"), ORDER_NOT_FULFILLED)),
            Ok(WarehouseTask::Order { order_id, placed_at, .. }) => Ok(Effect::Order { order_id, placed_at }),
            Ok(WarehouseTask::Image { image_id, user_id, image_path }) => Ok(match self.inspect(image_path).await? {
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

/// The blocking part.
fn inspect(files: &Files, path: &ImagePath, limits: &Limits, max_bytes: u64) -> Result<Inspected, Failure> {
    match files.open_original(path, max_bytes) {
        Ok(original) => read_metadata(original, limits),
        Err(error @ OpenError::Storage(_)) => Err(Failure::environment(error, IMAGE_NOT_STORED)),
        Err(error @ (OpenError::Missing | OpenError::Unreadable(_))) => Err(Failure::retry(error, IMAGE_NOT_STORED)),
        Err(error @ (OpenError::Outside | OpenError::NotAFile(_) | OpenError::TooLarge { .. })) => {
            Ok(Inspected::Settled(Err(error.to_string())))
        }
    }
}

fn read_metadata(mut original: Original, limits: &Limits) -> Result<Inspected, Failure> {
    let known = original.sha256().map(str::to_owned);
    match metadata(&mut original, known, limits) {
        Err(error) if error.is_of_storage() => Err(Failure::environment(error, IMAGE_NOT_STORED)),
        Err(error @ thumbnail::Error::Read { .. }) => Err(Failure::retry(error, IMAGE_NOT_STORED)),
        Err(_) if original.is_damaged().map_err(|error| Failure::environment(error, IMAGE_NOT_STORED))? => Err(
            Failure::environment("the upload is damaged: its bytes are not those that were uploaded", IMAGE_NOT_STORED),
        ),
        _ if !original.is_settled() => Ok(Inspected::Unsettled),
        metadata => Ok(Inspected::Settled(metadata.map_err(|error| error.to_string()))),
    }
}
