//! The warehouse job: take in an image, or take on an order.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use tokio::task::JoinError;

use super::facts::{Facts, facts};
use super::store;
use crate::db::UnixMillis;
use crate::files::{Files, OpenError, Original, SETTLED_AFTER};
use crate::ids::{ImagePath, OrderId, UserId};
use crate::jobs::{Failure, Handler, Job, Kind, WAREHOUSE};
use crate::tasks::WarehouseTask;
use crate::thumbnail::{self, Limits};

const NOT_KEPT: &str = "The picture could not be taken into the warehouse.";
const NOT_TAKEN_ON: &str = "The order could not be taken on.";

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

    /// The file's facts, or why it has none. A file that may still be written is given the time to settle: the facts of
    /// half a file would be of another picture.
    async fn inspect(&self, path: ImagePath) -> Result<Result<Facts, String>, Failure> {
        for pause in [SETTLED_AFTER, Duration::ZERO] {
            let (files, limits, max_bytes, path) = (self.files.clone(), self.limits, self.max_bytes, path.clone());
            let inspected = tokio::task::spawn_blocking(move || inspect(&files, &path, &limits, max_bytes)).await;
            match inspected.unwrap_or_else(|error| Err(interrupted(error)))? {
                Inspected::Settled(facts) => return Ok(facts),
                Inspected::Unsettled => tokio::time::sleep(pause).await,
            }
        }
        Err(Failure::retry("the file is still being written", NOT_KEPT))
    }
}

/// A runtime that stops drops what still waits for a thread, which says nothing of the picture.
fn interrupted(error: JoinError) -> Failure {
    if error.is_cancelled() { Failure::environment(error, NOT_KEPT) } else { Failure::retry(error, NOT_KEPT) }
}

enum Inspected {
    Settled(Result<Facts, String>),
    Unsettled,
}

/// What the warehouse has learned.
#[derive(Debug, Clone)]
pub enum Finding {
    /// An image is a picture.
    Asset {
        /// Which image.
        image_id: i64,
        /// Whose.
        user_id: UserId,
        /// What is known of it.
        facts: Facts,
    },
    /// An image is no picture, for this reason.
    NoAsset(String),
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
    type Effect = Finding;
    type Notice = ();

    async fn run(&self, job: &Job) -> Result<Finding, Failure> {
        match WarehouseTask::parse(&job.payload) {
            Err(error) => Err(Failure::fail(format!("the payload is no task: {error}"), NOT_TAKEN_ON)),
            Ok(WarehouseTask::Order { order_id, placed_at, .. }) => Ok(Finding::Order { order_id, placed_at }),
            Ok(WarehouseTask::Image { image_id, user_id, image_path }) => Ok(match self.inspect(image_path).await? {
                Ok(facts) => Finding::Asset { image_id, user_id, facts },
                Err(reason) => Finding::NoAsset(reason),
            }),
        }
    }

    fn note(finding: &Finding) -> Option<String> {
        match finding {
            Finding::NoAsset(reason) => Some(format!("no asset: {reason}")),
            Finding::Asset { .. } | Finding::Order { .. } => None,
        }
    }

    fn apply(connection: &mut SqliteConnection, _: &Job, finding: Finding, now: UnixMillis) -> QueryResult<()> {
        match finding {
            Finding::Asset { image_id, user_id, facts } => store::keep(connection, image_id, user_id, &facts, now),
            Finding::NoAsset(_) => Ok(()),
            Finding::Order { order_id, placed_at } => store::fulfil(connection, &order_id, placed_at, now),
        }
    }

    fn bury(_: &mut SqliteConnection, _: &Job, _: &str, _: UnixMillis) -> QueryResult<Option<()>> {
        Ok(None)
    }

    fn announce(&self, (): ()) {}
}

/// The blocking part.
fn inspect(files: &Files, path: &ImagePath, limits: &Limits, max_bytes: u64) -> Result<Inspected, Failure> {
    match files.open_original(path, max_bytes) {
        Ok(original) => learn(original, limits),
        Err(error @ OpenError::Storage(_)) => Err(Failure::environment(error, NOT_KEPT)),
        Err(error @ (OpenError::Missing | OpenError::Unreadable(_))) => Err(Failure::retry(error, NOT_KEPT)),
        Err(error @ (OpenError::Outside | OpenError::NotAFile(_) | OpenError::TooLarge { .. })) => {
            Ok(Inspected::Settled(Err(error.to_string())))
        }
    }
}

fn learn(mut original: Original, limits: &Limits) -> Result<Inspected, Failure> {
    let known = original.sha256().map(str::to_owned);
    match facts(&mut original, known, limits) {
        Err(error) if error.is_of_storage() => Err(Failure::environment(error, NOT_KEPT)),
        Err(error @ thumbnail::Error::Read { .. }) => Err(Failure::retry(error, NOT_KEPT)),
        Err(_) if original.is_damaged().map_err(|error| Failure::environment(error, NOT_KEPT))? => {
            Err(Failure::environment("the upload is damaged: its bytes are not those that were uploaded", NOT_KEPT))
        }
        _ if !original.is_settled() => Ok(Inspected::Unsettled),
        facts => Ok(Inspected::Settled(facts.map_err(|error| error.to_string()))),
    }
}
