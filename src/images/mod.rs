//! Images: from the upload to the thumbnail, and to the long polls that wait for it.
//!
//! Owns the tables `images`, `thumbnails`, `thumbnail_name_key` and `idempotency_keys`. Consumes `image_uploaded` (a doorbell for its worker;
//! other programs' messages become images) and `finished:{userId}` (a doorbell for long polls), publishes both. Never
//! answers from a message if there is a row.
//!
//! - `routes`, `enqueue`, `upload`, `status`, `thumbnails`, `gallery`, `openapi`: the HTTP side
//! - `commit`: the last step of an upload, which a disconnected client does not interrupt
//! - `links`: links in responses
//! - `waiters`, `long_poll`: requests that are held until a thumbnail is finished
//! - `intake`, `occurrences`: messages of other programs
//! - `worker`: the thumbnail job
//! - `name_key`: the key of thumbnail names
//! - `orphans`: uploads without a row
//! - `quota`: limits of the rows and bytes that uploads add
//! - `store`, `variants`, `idempotency`: the rows of images, thumbnails and idempotency keys

mod commit;
mod enqueue;
mod gallery;
mod idempotency;
mod intake;
mod links;
mod long_poll;
mod name_key;
mod occurrences;
mod openapi;
mod orphans;
mod quota;
mod routes;
mod status;
mod store;
mod thumbnails;
mod upload;
mod variants;
mod waiters;
mod worker;

use std::time::Duration;

use crate::bus::Bus;
use crate::db::Database;
use crate::files::Files;
use crate::http::Auth;
use crate::job_payloads::MailPreferences;
use crate::jobs::QueueLimit;

pub(crate) use commit::Commits;
pub(crate) use intake::{Role, listen};
pub(crate) use links::Links;
pub(crate) use long_poll::LongPolls;
pub(crate) use openapi::openapi;
pub(crate) use orphans::keep_removing_orphans;
pub(crate) use quota::Quotas;
pub(crate) use routes::{USER_ROUTES, routes};
pub(crate) use worker::{ThumbnailWorker, VariantSpec};

/// The state of the routes, the intake and the worker; a clone shares it.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) database: Database,
    pub(crate) bus: Bus,
    pub(crate) files: Files,
    pub(crate) limits: Limits,
    pub(crate) quotas: Quotas,
    /// The limit of queued thumbnail jobs.
    pub(crate) queue_limit: QueueLimit,
    /// The mail that users get; an image keeps the setting under which it was accepted.
    pub(crate) mail: MailPreferences,
    pub(crate) commits: Commits,
    pub(crate) long_polls: LongPolls,
    pub(crate) links: Links,
    pub(crate) auth: Auth,
}

/// Limits of uploads and polls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_upload_bytes: u64,
    /// Width times height.
    pub(crate) max_pixels: u64,
    /// How long a poll is held by default.
    pub(crate) long_poll_timeout: Duration,
    /// Uploads are refused below this free disk space, which accepted images need to be finished.
    pub(crate) min_free_bytes: u64,
}

impl Limits {
    pub(crate) fn decoder(&self) -> m3a3_thumbnail::Limits {
        m3a3_thumbnail::Limits { max_pixels: self.max_pixels }
    }
}
