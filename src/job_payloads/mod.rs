//! The kinds of jobs and their payloads: one type per kind, shared by the modules that enqueue jobs and those that run
//! them.
//!
//! Owns the list of kinds and the JSON in `jobs.payload`. Consumes and publishes nothing. Never says how a job is done.
//! A payload contains everything that the worker needs, so that no module reads another one's rows. It may stay in the
//! database for weeks, so every change must read what earlier versions wrote.
//!
//! This file lists the kinds. Each payload has a file; `mail_preferences` has the kinds of mail.

mod mail;
mod mail_preferences;
#[cfg(test)]
mod tests;
mod thumbnail;
mod warehouse;
mod webhook;

use crate::ids::{CustomerId, UserId};
use crate::jobs::{DedupScope, Kind};

pub use mail::MailTask;
pub use mail_preferences::{MailKind, MailPreferences};
pub use thumbnail::ThumbnailTask;
pub use warehouse::WarehouseTask;
pub use webhook::WebhookTask;

/// Makes the thumbnails of an image.
pub const THUMBNAIL: Kind = Kind { name: "thumbnail", dedup: DedupScope::WhileActive, optional: false };
/// Reports a purchase to the webhook receiver.
pub const WEBHOOK: Kind = Kind { name: "webhook", dedup: DedupScope::Forever, optional: false };
/// Stores an image as an asset, or fulfils an order.
pub const WAREHOUSE: Kind = Kind { name: "warehouse", dedup: DedupScope::Forever, optional: true };
/// Sends a mail.
pub const EMAIL: Kind = Kind { name: "email", dedup: DedupScope::Forever, optional: true };

/// Every kind of job. To add one, add it here and its hooks to the job registry of `cli`.
pub const KINDS: [Kind; 4] = [THUMBNAIL, WEBHOOK, WAREHOUSE, EMAIL];

/// Finds a kind by its name.
pub(crate) fn kind_by_name(name: &str) -> Option<Kind> {
    KINDS.into_iter().find(|kind| kind.name == name)
}

/// The user with the id of this customer, if it is the id of a user.
pub(crate) fn user_of(customer: &CustomerId) -> Option<UserId> {
    customer.as_str().parse().ok()
}
