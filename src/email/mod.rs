//! Mail: notifies users about their images and orders.
//!
//! Owns the `mails` table, the templates and the format of mails. Consumes `email` jobs, whose payload contains
//! everything but the address and the confirmation link, and the address of the user at the time of sending. Publishes
//! mails: to a server by SMTP, or into files if no server is configured. Never decides whether a mail is sent: the module
//! that enqueues the job does. Never shows an address, a link or a password in a log or an error.
//!
//! A mail may be sent twice: a worker that is killed between the reply of the server and its own commit sends it again.
//! Both copies are equal and have the same `Message-ID`, derived from the id of the job.
//!
//! - `worker`: the job
//! - `templates`, `template_error`, `templates/`: the text of mails
//! - `message`: builds the MIME message
//! - `sanitize`: makes untrusted text safe to show
//! - `transport`, `mail_server`, `delivery_error`: delivers a mail, or says why not
//! - `store`: the outcome of each mail

mod delivery_error;
mod mail_server;
mod message;
mod sanitize;
mod store;
mod template_error;
mod templates;
mod transport;
mod worker;

use std::io;

use lettre::address::AddressError;

use crate::config::{ConfigError, Email};
pub(crate) use worker::EmailWorker;

/// Renders every template with an example, as a worker does at its start.
pub(crate) fn check(config: &Email) -> Result<(), SetupError> {
    let templates = templates::Templates::load(config.templates.as_deref())?;
    message::MessageBuilder::new(&config.from, templates).map(drop).map_err(SetupError::Sender)
}

/// Why no mail can be sent with this configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("the mail templates cannot be used")]
    Templates(#[from] ConfigError),
    #[error("email.from cannot be used")]
    Sender(#[source] AddressError),
    #[error("the outbox cannot be created")]
    Outbox(#[source] io::Error),
}
