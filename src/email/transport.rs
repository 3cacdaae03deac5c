//! The way out: to a mail server, or into files where none is configured.

use std::io;

use super::delivery_error::DeliveryError;
use super::mail_server::MailServer;
use super::message::MailMessage;
use crate::config::Email;
use crate::files::{Files, Outbox};
use crate::ids::JobId;

/// Where mails go.
pub(super) enum Transport {
    Server(MailServer),
    Files(Outbox),
}

impl Transport {
    /// The way that the configuration says.
    ///
    /// # Errors
    /// When there is no server and the folder for files cannot be made.
    pub(super) fn new(config: &Email, files: &Files) -> io::Result<Self> {
        let Some(url) = &config.smtp_url else {
            let outbox = files.outbox()?;
            let folder = outbox.folder().display();
            tracing::info!(%folder, "no mail is sent, since email.smtp_url is not set; each becomes a file instead");
            return Ok(Self::Files(outbox));
        };
        Ok(Self::Server(MailServer::new(url.clone(), config.timeout)))
    }

    /// Brings a mail on its way.
    ///
    /// Cancel safe in this sense: the mail may or may not be on its way.
    pub(super) async fn deliver(&self, job: JobId, message: MailMessage) -> Result<(), DeliveryError> {
        match self {
            Self::Server(server) => server.send(&message).await,
            Self::Files(outbox) => {
                let outbox = outbox.clone();
                let keep = tokio::task::spawn_blocking(move || outbox.keep(job, &message.bytes));
                keep.await.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(DeliveryError::NotKept)
            }
        }
    }
}
