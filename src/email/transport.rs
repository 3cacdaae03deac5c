//! Delivers mails: to a mail server, or into files if none is configured.

use std::io;

use super::delivery_error::DeliveryError;
use super::mail_server::MailServer;
use super::message::MailMessage;
use crate::config::Email;
use crate::files::{Files, Outbox};
use crate::ids::JobId;

/// The destination of mails.
pub(super) enum Transport {
    Server(MailServer),
    Files(Outbox),
}

impl Transport {
    /// The transport of the configuration.
    ///
    /// # Errors
    /// When no server is configured and the outbox cannot be created.
    pub(super) fn new(config: &Email, files: &Files) -> io::Result<Self> {
        let Some(url) = &config.smtp_url else {
            let outbox = files.outbox()?;
            let folder = outbox.folder().display();
            tracing::info!(
                %folder,
                "no mail is sent because email.smtp_url is not set; mails are written to files instead"
            );
            return Ok(Self::Files(outbox));
        };
        Ok(Self::Server(MailServer::new(url.clone(), config.timeout)))
    }

    /// Delivers a mail. If cancelled, the mail may or may not be delivered.
    pub(super) async fn deliver(&self, job: JobId, message: MailMessage) -> Result<(), DeliveryError> {
        match self {
            Self::Server(server) => server.send(&message).await,
            Self::Files(outbox) => {
                let outbox = outbox.clone();
                let keep = tokio::task::spawn_blocking(move || outbox.keep(job, &message.bytes));
                keep.await.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(DeliveryError::Outbox)
            }
        }
    }
}
