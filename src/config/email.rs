//! The section `[email]`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;

use super::error::ConfigError;
use super::reader::Reader;
use super::sections::{or_one_per_core, required, time_limit};
use super::smtp::SmtpUrl;
use crate::job_payloads::MailPreferences;

/// Outgoing mail.
#[derive(Debug, Clone)]
pub(crate) struct Email {
    /// The kinds of mail that are sent.
    pub(crate) notify: MailPreferences,
    /// Whether an address that a user token sets gets no mail before it is confirmed.
    pub(crate) confirm: bool,
    /// The mail server; `None` writes mail to files.
    pub(crate) smtp_url: Option<SmtpUrl>,
    /// The sender of every mail.
    pub(crate) from: Mailbox,
    /// The folder whose templates override the embedded ones.
    pub(crate) templates: Option<PathBuf>,
    /// The timeout of sending one mail; more than 0, at most a minute.
    pub(crate) timeout: Duration,
    /// Mails sent concurrently by one worker process.
    pub(crate) concurrency: NonZeroUsize,
    /// The time limit of one job; more than 0.
    pub(crate) time_limit: Duration,
}

impl Email {
    pub(super) fn read(from: &mut Reader) -> Result<Self, ConfigError> {
        const SENDER: &str = "an email address, or a name and the address in angle brackets";
        Ok(Self {
            notify: required(from, "email.notify", MailPreferences::EXPECTED, MailPreferences::parse)?,
            confirm: from.bool("email.confirm")?,
            smtp_url: from.smtp_url("email.smtp_url")?,
            from: required(from, "email.from", SENDER, |text| text.parse().ok())?,
            templates: from.text("email.templates", "the path of a folder", |text| Some(PathBuf::from(text)))?,
            timeout: from.seconds("email.timeout_s", 0.1..=60.0)?,
            concurrency: or_one_per_core(from, "email.concurrency")?,
            time_limit: time_limit(from, "email.time_limit_s")?,
        })
    }
}
