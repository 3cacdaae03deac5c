//! Mail: users are told what became of their pictures and orders.
//!
//! Owns the `mails` table, the templates, and what a mail looks like. Consumes jobs of the kind `email`, whose payload
//! says all but the address, and the users' addresses at the time of sending. Publishes mails, to a server by SMTP or,
//! where none is configured, into files. Never decides whether there is a mail: who makes the job does. Never shows an
//! address or a password in a log or an error.
//!
//! A mail may come twice: what has left cannot be taken back, so a worker that is killed between the server's answer and
//! its own note of it sends again. Both are the same mail, with the same `Message-ID`, made of the job's id.
//!
//! - `worker`: the job
//! - `wording`, `template_error`, `templates/`: what a mail says
//! - `message`: a mail as it goes out
//! - `plain`: texts of other people, made fit to be shown
//! - `transport`, `mail_server`, `undelivered`: the way out, and what can stand in it
//! - `store`: what became of each mail

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
pub use worker::{EmailWorker, MailOutcome};

/// Tries every template with an example, as a worker does at its start.
///
/// # Errors
/// When one does not work, or the sender is none.
pub fn check(config: &Email) -> Result<(), SetupError> {
    let templates = templates::Templates::load(config.templates.as_deref())?;
    message::MessageBuilder::new(&config.from, templates).map(drop).map_err(SetupError::Sender)
}

/// Why no mail can be sent with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A template does not work, or cannot be read.
    #[error("the mail templates cannot be used")]
    Templates(#[from] ConfigError),
    /// The sender is none that a mail can have.
    #[error("email.from cannot be used")]
    Sender(#[source] AddressError),
    /// The folder for mails that are not sent cannot be made.
    #[error("the outbox cannot be made")]
    Outbox(#[source] io::Error),
}
