//! Why a mail was not delivered, and whether another attempt can succeed.

use std::error::Error as _;
use std::io;

use lettre::transport::smtp::Error;

use super::sanitize::single_line;

/// The longest text of a reply that is stored, in characters.
const MAX_REPLY: usize = 300;

/// Why a mail was not delivered. No variant contains a password or an address.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeliveryError {
    #[error("TLS cannot be set up (are CA certificates installed?): {0}")]
    NoTls(String),
    #[error("the mail server did not accept the mail in time")]
    TimedOut,
    #[error("the mail server cannot be reached: {0}")]
    Unreachable(String),
    #[error("the connection to the mail server failed: {0}")]
    Broken(String),
    #[error("the mail server does not offer STARTTLS, which email.smtp_url requires")]
    NoStartTls,
    #[error("the mail server offers neither of the supported login mechanisms (PLAIN, LOGIN)")]
    NoLogin,
    #[error("the mail server refused the login of email.smtp_url ({0})")]
    LoginRefused(u16),
    #[error("the mail server does not accept connections now: {0}")]
    Closed(Reply),
    #[error("the mail server deferred the mail: {0}")]
    Deferred(Reply),
    #[error("the mail server requires a login or TLS, which email.smtp_url lacks: {0}")]
    NotAllowed(Reply),
    #[error("the mail server refused the mail: {0}")]
    Refused(Reply),
    #[error("the address has non-ASCII characters before the @, which the mail server does not support (SMTPUTF8)")]
    NoUtf8,
    #[error("the mail cannot be written to the outbox: {0}")]
    Outbox(#[source] io::Error),
}

/// The reply of a server, without addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} {text}")]
pub(super) struct Reply {
    pub(super) code: u16,
    text: String,
}

/// The stage of the SMTP dialogue at which it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the login: a reply says nothing about the mail.
    Connect,
    Login,
    /// From MAIL FROM to the end of the data.
    Mail,
}

impl DeliveryError {
    /// Whether another attempt would fail too. An error that a change of the configuration repairs is not final.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NoUtf8)
    }

    /// Classifies an error at this stage. `private` words are masked.
    pub(super) fn new(stage: Stage, error: &Error, private: &[&str]) -> Self {
        match error.status() {
            None => without_reply(stage, error),
            Some(code) => {
                let said = error.source().map(ToString::to_string).unwrap_or_default();
                classify(stage, code.into(), &said, private)
            }
        }
    }

    /// Whether the server closed the connection, or is about to, without accepting or rejecting the mail.
    pub(super) fn is_hanging_up(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Deferred(Reply { code: 421, .. }))
    }
}

fn classify(stage: Stage, code: u16, said: &str, private: &[&str]) -> DeliveryError {
    let reply = Reply { code, text: masked(&single_line(said, MAX_REPLY), private) };
    match (stage, code) {
        (Stage::Login, 500..) => DeliveryError::LoginRefused(code),
        (Stage::Connect, _) => DeliveryError::Closed(reply),
        (_, 530 | 534 | 535 | 538) => DeliveryError::NotAllowed(reply),
        (_, 500..) => DeliveryError::Refused(reply),
        (_, _) => DeliveryError::Deferred(reply),
    }
}

fn without_reply(stage: Stage, error: &Error) -> DeliveryError {
    if error.is_timeout() {
        return DeliveryError::TimedOut;
    }
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let cause = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
    match stage {
        Stage::Login if error.is_client() => DeliveryError::NoLogin,
        Stage::Connect if !error.is_response() => DeliveryError::Unreachable(cause),
        _ => DeliveryError::Broken(cause),
    }
}

/// Masks email addresses and these words: the parts of addresses before the @, which occur alone too.
fn masked(text: &str, private: &[&str]) -> String {
    let is_end = |c: char| c.is_whitespace() || "<>()[]{},;:\"'".contains(c);
    text.split_inclusive(is_end)
        .map(|part| {
            let word = part.trim_end_matches(is_end);
            let is_private = word.contains('@') || private.iter().any(|private| private.eq_ignore_ascii_case(word));
            if is_private { format!("***{}", &part[word.len()..]) } else { part.to_owned() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_permanent_reply_about_the_mail_itself_is_final() {
        for code in 400..=599 {
            let is_final = |stage| classify(stage, code, "no", &[]).is_final();
            let is_about_us = [530, 534, 535, 538].contains(&code);
            assert_eq!(is_final(Stage::Mail), code >= 500 && !is_about_us, "{code}");
            assert!(!is_final(Stage::Connect) && !is_final(Stage::Login), "{code}");
        }
    }

    #[test]
    fn the_reply_to_a_login_is_not_stored() {
        let refused = classify(Stage::Login, 535, "5.7.8 no: AGFkYQBodW50ZXIy", &[]).to_string();
        assert_eq!(refused, "the mail server refused the login of email.smtp_url (535)");
    }

    #[test]
    fn a_reply_is_stored_without_addresses() {
        for (said, kept) in [
            ("5.1.1 <ada@example.org>: Recipient address rejected", "5.1.1 <***>: Recipient address rejected"),
            ("no mailbox for Ada here (ada@b\u{fc}cher.example)", "no mailbox for *** here (***)"),
            ("to=\"a.b+c@example.org\",from=m3a3@localhost;", "to=\"***\",***;"),
            ("adaptive filter: no", "adaptive filter: no"),
        ] {
            assert_eq!(masked(said, &["ada"]), kept, "{said}");
        }
    }
}
