//! Builds the MIME message of a mail from its job, its recipient and the templates alone, so that every attempt builds
//! the same bytes.

use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::address::{AddressError, Envelope};
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, Message, MultiPart, SinglePart};
use uuid::Uuid;

use super::sanitize::single_line;
use super::template_error::TemplateError;
use super::templates::{RenderedMail, Templates};
use crate::ids::{EmailAddress, JobId};
use crate::job_payloads::MailTask;

const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");
/// The longest display name, in characters.
const MAX_NAME: usize = 80;
/// The last second that a date header can represent: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// A mail that is ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MailMessage {
    pub(super) envelope: Envelope,
    /// Lines end in CRLF.
    pub(super) bytes: Vec<u8>,
    /// In angle brackets. Equal for repeated mails, so that a recipient can drop duplicates.
    pub(super) message_id: String,
}

/// Why a mail cannot be built.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error("the recipient's address cannot be used: {0}")]
    Address(#[from] AddressError),
    #[error("the mail cannot be built: {0}")]
    Message(#[from] lettre::error::Error),
}

/// The recipient of a mail.
pub(super) struct Recipient<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) address: &'a EmailAddress,
}

/// An image embedded in a mail.
pub(super) struct Inline {
    pub(super) bytes: Vec<u8>,
    /// The file name extension, without a dot.
    pub(super) extension: String,
}

/// The content of a mail that its payload does not have.
pub(super) enum Insert {
    Thumbnail(Inline),
    /// The URL that confirms an address.
    Link(String),
}

/// Builds mails.
pub(super) struct MessageBuilder {
    sender: Mailbox,
    templates: Templates,
}

impl MessageBuilder {
    /// # Errors
    /// When the domain of the sender is invalid.
    pub(super) fn new(sender: &Mailbox, templates: Templates) -> Result<Self, AddressError> {
        let name = sender.name.as_deref().map(|name| single_line(name, MAX_NAME)).filter(|name| !name.is_empty());
        let sender = Mailbox::new(name, ascii_domain(sender.email.user(), sender.email.domain())?);
        Ok(Self { sender, templates })
    }

    /// The `Message-ID` of the mail of this job.
    pub(super) fn message_id(&self, job: JobId) -> String {
        format!("<{job}@{}>", self.sender.email.domain())
    }

    /// Builds the mail of a job.
    pub(super) fn build(
        &self,
        job: JobId,
        task: &MailTask,
        recipient: &Recipient<'_>,
        insert: Option<Insert>,
    ) -> Result<MailMessage, BuildError> {
        let content_id = format!("thumbnail.{job}@{}", self.sender.email.domain());
        let (thumbnail, url) = match insert {
            None => (None, String::new()),
            Some(Insert::Thumbnail(thumbnail)) => (Some(thumbnail), format!("cid:{content_id}")),
            Some(Insert::Link(url)) => (None, url),
        };
        let mail = self.templates.render_mail(task, recipient.name, &url)?;
        let message_id = self.message_id(job);
        let message = Message::builder()
            .from(self.sender.clone())
            .to(mailbox(recipient)?)
            .subject(mail.subject.as_str())
            .date(date(job))
            .message_id(Some(message_id.clone()))
            .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
            .multipart(body(job, mail, thumbnail, content_id))?;
        Ok(MailMessage { envelope: message.envelope().clone(), bytes: message.formatted(), message_id })
    }
}

fn mailbox(recipient: &Recipient<'_>) -> Result<Mailbox, AddressError> {
    let name = recipient.name.map(|name| single_line(name, MAX_NAME)).filter(|name| !name.is_empty());
    let address: Address = recipient.address.as_str().parse()?;
    Ok(Mailbox::new(name, ascii_domain(address.user(), address.domain())?))
}

/// The address with its domain in Punycode, so that only non-ASCII characters before the @ need SMTPUTF8.
fn ascii_domain(user: &str, domain: &str) -> Result<Address, AddressError> {
    let domain = if domain.is_ascii() {
        domain.to_owned()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| AddressError::InvalidDomain)?
    };
    Address::new(user, domain)
}

/// The creation time of the job, which its id contains.
fn date(job: JobId) -> SystemTime {
    let made = Uuid::parse_str(&job.to_string()).ok().and_then(|id| id.get_timestamp());
    let seconds = made.map(|made| made.to_unix().0).filter(|seconds| *seconds <= LAST_SECOND);
    seconds.map_or_else(SystemTime::now, |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Text and HTML alternatives; the HTML has its image beside it.
fn body(job: JobId, mail: RenderedMail, thumbnail: Option<Inline>, content_id: String) -> MultiPart {
    // "=_" cannot occur in quoted-printable or base64.
    let alternative = MultiPart::alternative().boundary(format!("=_{job}_a"));
    let alternative = alternative.singlepart(text_part(mail.text, ContentType::TEXT_PLAIN));
    let html = text_part(mail.html, ContentType::TEXT_HTML);
    match thumbnail {
        None => alternative.singlepart(html),
        Some(thumbnail) => {
            let related = MultiPart::related().boundary(format!("=_{job}_r")).singlepart(html);
            alternative.multipart(related.singlepart(thumbnail_part(thumbnail, content_id)))
        }
    }
}

fn text_part(text: String, content_type: ContentType) -> SinglePart {
    // Even for ASCII text: it limits the line length, and no line can look like a boundary.
    let encoding = ContentTransferEncoding::QuotedPrintable;
    let body = Body::new_with_encoding(text, encoding).unwrap_or_else(Body::new);
    SinglePart::builder().header(content_type).body(body)
}

fn thumbnail_part(Inline { bytes, extension }: Inline, content_id: String) -> SinglePart {
    let content_type = match extension.as_str() {
        "png" => ContentType::parse("image/png"),
        "webp" => ContentType::parse("image/webp"),
        _ => ContentType::parse("image/jpeg"),
    };
    let body = Body::new_with_encoding(bytes, ContentTransferEncoding::Base64).unwrap_or_else(Body::new);
    let attachment = Attachment::new_inline_with_name(content_id, format!("thumbnail.{extension}"));
    attachment.body(body, content_type.unwrap_or(ContentType::TEXT_PLAIN))
}

#[cfg(test)]
mod tests {
    use mail_parser::{Message as Parsed, MessageParser, MimeHeaders};
    use proptest::prelude::*;

    use super::*;
    use crate::ids::UserId;

    const HEAD: [&str; 8] =
        ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"];

    const UPLOAD: &str = r#"{"notice":"upload_received","userId":7,"picture":"pâté 日本.jpg"}"#;
    const READY: &str = r#"{"notice":"thumbnail_ready","userId":7,"picture":"photo.jpg","thumbnail":"0f.jpg"}"#;

    fn job() -> JobId {
        "01a20af3-7c5c-7497-8f81-9c67afd551d6".parse().unwrap()
    }

    fn build(payload: &str, name: Option<&str>, address: &str, insert: Option<Insert>) -> MailMessage {
        let sender = "Büro m3a3 <post@bücher.example>".parse().unwrap();
        let builder = MessageBuilder::new(&sender, Templates::load(None).unwrap()).unwrap();
        let address = address.parse().unwrap();
        let recipient = Recipient { name, address: &address };
        builder.build(job(), &serde_json::from_str(payload).unwrap(), &recipient, insert).unwrap()
    }

    fn parse(message: &MailMessage) -> Parsed<'_> {
        MessageParser::default().parse(&message.bytes).unwrap()
    }

    /// The names of the headers, in order.
    fn names(message: &MailMessage) -> Vec<String> {
        let text = String::from_utf8(message.bytes.clone()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
        head.split("\r\n").map(|line| line.split(':').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_mail_in_any_language_is_parsed_back_as_built() {
        let message = build(UPLOAD, Some("Åsa \"日本\" 🚀, Ltd"), "ada@exämple.org", None);
        let mail = parse(&message);
        let to = mail.to().unwrap().first().unwrap();
        assert_eq!(to.name.as_deref(), Some("Åsa \"日本\" 🚀, Ltd"));
        assert_eq!(to.address.as_deref(), Some("ada@xn--exmple-cua.org"));
        let from = mail.from().unwrap().first().unwrap();
        assert_eq!(from.name.as_deref(), Some("Büro m3a3"));
        assert_eq!(from.address.as_deref(), Some("post@xn--bcher-kva.example"));
        assert_eq!(mail.subject(), Some("We have your picture pâté 日本.jpg"));
        assert!(mail.body_text(0).unwrap().contains("your picture pâté 日本.jpg has arrived"));
        assert!(mail.body_html(0).unwrap().contains("<bdi>pâté 日本.jpg</bdi>"));
        assert_eq!(mail.message_id(), Some("01a20af3-7c5c-7497-8f81-9c67afd551d6@xn--bcher-kva.example"));
        assert_eq!(mail.header_raw("Auto-Submitted").map(str::trim), Some("auto-generated"));
        assert_eq!(message.message_id, format!("<{}>", mail.message_id().unwrap()));
        assert!(message.bytes.is_ascii());
    }

    #[test]
    fn every_attempt_builds_the_same_mail_with_the_creation_time_of_the_job() {
        let message = build(UPLOAD, Some("Ada"), "ada@example.org", None);
        assert_eq!(message, build(UPLOAD, Some("Ada"), "ada@example.org", None));
        let made = Uuid::parse_str(&job().to_string()).unwrap().get_timestamp().unwrap().to_unix().0;
        assert_eq!(parse(&message).date().unwrap().to_timestamp(), i64::try_from(made).unwrap());
    }

    #[test]
    fn a_thumbnail_is_embedded_in_the_html_byte_for_byte() {
        let bytes: Vec<u8> = (0..=255_u8).cycle().take(5_000).collect();
        let thumbnail = Inline { bytes: bytes.clone(), extension: "png".into() };
        let message = build(READY, None, "ada@example.org", Some(Insert::Thumbnail(thumbnail)));
        let mail = parse(&message);
        let image = mail.attachments().next().unwrap();
        assert_eq!(image.contents(), bytes);
        assert_eq!(image.content_type().map(|kind| (kind.ctype(), kind.subtype())), Some(("image", Some("png"))));
        assert_eq!(image.content_disposition().map(|how| how.ctype()), Some("inline"));
        assert_eq!(image.attachment_name(), Some("thumbnail.png"));
        let html = mail.body_html(0).unwrap();
        assert!(html.contains(&format!("src=\"cid:{}\"", image.content_id().unwrap())), "{html}");
        assert_eq!(mail.attachments().count(), 1);
    }

    #[test]
    fn names_cannot_inject_headers_or_lines() {
        let hostile =
            r#"{"notice":"upload_received","userId":7,"picture":"a\r\nBcc: eve@example.org\r\n\r\n.\r\nMAIL"}"#;
        let message = build(hostile, Some("Ada\r\nBcc: eve@example.org\0\u{85}\u{2028}X: y"), "ada@example.org", None);
        assert_eq!(names(&message), HEAD);
        let mail = parse(&message);
        assert_eq!(mail.to().unwrap().first().unwrap().name.as_deref(), Some("Ada Bcc: eve@example.org X: y"));
        assert_eq!(mail.subject(), Some("We have your picture a Bcc: eve@example.org . MAIL"));
        assert_eq!(message.envelope.to().len(), 1);
    }

    proptest! {
        #[test]
        fn no_name_changes_the_headers_or_breaks_the_mail(name: String, file_name: String) {
            let task = MailTask::UploadReceived { user_id: UserId::new(7).unwrap(), file_name: file_name.clone() };
            let message = build(&serde_json::to_string(&task).unwrap(), Some(&name), "ada@example.org", None);
            prop_assert_eq!(names(&message), HEAD);
            let mail = parse(&message);
            let shown = single_line(&name, MAX_NAME);
            let to = mail.to().unwrap().first().unwrap();
            prop_assert_eq!(to.name.as_deref().unwrap_or_default().trim(), shown);
            prop_assert_eq!(to.address.as_deref(), Some("ada@example.org"));
            let subject = format!("We have your picture {}", single_line(&file_name, MAX_NAME));
            prop_assert_eq!(mail.subject(), Some(subject.trim()));
        }
    }

    #[test]
    fn every_line_ends_in_crlf_and_is_short_enough_for_every_server() {
        let long =
            format!(r#"{{"notice":"thumbnail_failed","userId":7,"picture":"p","message":"{}"}}"#, "ä".repeat(3_000));
        let message = build(&long, Some(&"é".repeat(500)), "ada@example.org", None);
        let text = String::from_utf8(message.bytes.clone()).unwrap();
        assert!(text.ends_with("\r\n"));
        for line in text.split("\r\n") {
            assert!(line.len() <= 100 && !line.contains(['\r', '\n']), "{line:?}");
        }
    }

    #[test]
    fn only_non_ascii_characters_before_the_at_need_smtputf8() {
        let message = build(UPLOAD, None, "jürgen@example.org", None);
        assert!(!message.bytes.is_ascii());
        assert_eq!(message.envelope.to()[0].to_string(), "jürgen@example.org");
    }
}
