//! Renders the templates of mails, which are embedded in the binary or read from a folder.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use super::sanitize::single_line;
use super::template_error::TemplateError;
use crate::config::ConfigError;
use crate::db::UnixMillis;
use crate::job_payloads::MailTask;

/// Every template by its file name. The other HTML templates extend `layout.html`.
const EMBEDDED: [(&str, &str); 11] = [
    ("layout.html", include_str!("templates/layout.html")),
    ("upload_received.txt", include_str!("templates/upload_received.txt")),
    ("upload_received.html", include_str!("templates/upload_received.html")),
    ("thumbnail_ready.txt", include_str!("templates/thumbnail_ready.txt")),
    ("thumbnail_ready.html", include_str!("templates/thumbnail_ready.html")),
    ("thumbnail_failed.txt", include_str!("templates/thumbnail_failed.txt")),
    ("thumbnail_failed.html", include_str!("templates/thumbnail_failed.html")),
    ("order_confirmed.txt", include_str!("templates/order_confirmed.txt")),
    ("order_confirmed.html", include_str!("templates/order_confirmed.html")),
    ("confirm_address.txt", include_str!("templates/confirm_address.txt")),
    ("confirm_address.html", include_str!("templates/confirm_address.html")),
];
/// A payload of each kind of mail, with which its templates are checked.
const EXAMPLES: [&str; 5] = [
    r#"{"notice":"upload_received","userId":7,"picture":"photo.jpg"}"#,
    r#"{"notice":"thumbnail_ready","userId":7,"picture":"photo.jpg","thumbnail":"0f.jpg"}"#,
    r#"{"notice":"thumbnail_failed","userId":7,"picture":"photo.jpg","message":"This is not a picture."}"#,
    r#"{"notice":"order_confirmed","userId":7,"orderId":"A-1001","placedAt":1793440800000}"#,
    r#"{"notice":"confirm_address","userId":7,"confirmationId":3,"site":"https://shop.example/m","expires":1793440800000}"#,
];
/// The start of the first line of a text template.
const SUBJECT: &str = "Subject: ";
const MAX_SUBJECT: usize = 150;
const MAX_NAME: usize = 80;
const MAX_MESSAGE: usize = 500;

/// The rendered templates of one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RenderedMail {
    /// One line.
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// The templates, each of which was rendered once with an example.
pub(super) struct Templates {
    environment: Environment<'static>,
    /// The files of the templates that replace an embedded one.
    files: BTreeMap<&'static str, String>,
}

impl Templates {
    /// Reads the templates, with those of the folder replacing embedded ones, and renders each with an example.
    ///
    /// # Errors
    /// When the folder cannot be read, or contains a template with an unknown name or an error.
    pub(super) fn load(folder: Option<&Path>) -> Result<Self, ConfigError> {
        let mut templates = Self { environment: environment(), files: BTreeMap::new() };
        if let Some(folder) = folder {
            refuse_unknown(folder)?;
        }
        for (name, embedded) in EMBEDDED {
            let source = match folder.map(|folder| own(&folder.join(name))).transpose()?.flatten() {
                None => embedded.to_owned(),
                Some((file, source)) => {
                    templates.files.insert(name, file);
                    source
                }
            };
            let added = templates.environment.add_template_owned(name, source);
            added.map_err(|error| templates.bad(name, &error))?;
        }
        templates.check_all()?;
        Ok(templates)
    }

    /// Renders a mail. `name` is that of the recipient; `url` is that of the embedded image or of the link, or empty.
    pub(super) fn render_mail(
        &self,
        task: &MailTask,
        name: Option<&str>,
        url: &str,
    ) -> Result<RenderedMail, TemplateError> {
        let name = name.map(|name| single_line(name, MAX_NAME)).filter(|name| !name.is_empty());
        let variables = variables(task, url);
        let notice = task.mail_kind().name();
        let text_name = format!("{notice}.txt");
        let text = self.render(&text_name, context! { name => &name, ..variables.clone() })?;
        let (subject, text) = split(&text).ok_or_else(|| TemplateError {
            file: self.file(&text_name),
            line: 1,
            problem: format!("it must start with a line \"{SUBJECT}…\" and an empty line"),
        })?;
        let html =
            self.render(&format!("{notice}.html"), context! { name => &name, subject => &subject, ..variables })?;
        Ok(RenderedMail { subject, text, html })
    }

    fn render(&self, name: &str, variables: Value) -> Result<String, TemplateError> {
        let rendered = self.environment.get_template(name).and_then(|template| template.render(variables));
        rendered.map_err(|error| self.bad(name, &error))
    }

    fn check_all(&self) -> Result<(), TemplateError> {
        for example in EXAMPLES {
            let task = serde_json::from_str::<MailTask>(example).map_err(|error| TemplateError {
                file: format!("the example {example}"),
                line: error.line(),
                problem: error.to_string(),
            })?;
            for (name, url) in [(None, "cid:thumbnail@example.org"), (Some("Ada"), "")] {
                self.render_mail(&task, name, url)?;
            }
        }
        Ok(())
    }

    fn bad(&self, name: &str, error: &minijinja::Error) -> TemplateError {
        TemplateError::new(name, error, |name| self.file(name))
    }

    /// The name of a template in errors.
    fn file(&self, name: &str) -> String {
        self.files.get(name).cloned().unwrap_or_else(|| format!("the embedded template {name}"))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Otherwise errors do not name the undefined variable.
    environment.set_debug(true);
    environment
}

/// Reads a template of the folder, if it exists, with the name of its file.
fn own(path: &Path) -> Result<Option<(String, String)>, ConfigError> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(source) => Ok(Some((file, source))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ConfigError::Unreadable { file, why: "", source }),
    }
}

/// Refuses a missing folder, and templates with an unknown name, which would never be used.
fn refuse_unknown(folder: &Path) -> Result<(), ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        file: folder.display().to_string(),
        why: ", which email.templates names",
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_template = path.extension().is_some_and(|extension| extension == "txt" || extension == "html");
        let is_known = EMBEDDED.iter().any(|(name, _)| path.file_name().is_some_and(|file| file == *name));
        if is_template && !is_known {
            let names: Vec<&str> = EMBEDDED.iter().map(|(name, _)| *name).collect();
            let problem = format!("there is no template of this name; known names are {}", names.join(", "));
            return Err(ConfigError::Syntax { file: path.display().to_string(), line: 1, problem });
        }
    }
    Ok(())
}

/// The variables of a template, besides the name of the recipient.
fn variables(task: &MailTask, url: &str) -> Value {
    match task {
        MailTask::UploadReceived { file_name, .. } => context! { picture => single_line(file_name, MAX_NAME) },
        MailTask::ThumbnailReady { file_name, .. } => {
            context! { picture => single_line(file_name, MAX_NAME), thumbnail => url }
        }
        MailTask::ThumbnailFailed { file_name, message, .. } => {
            context! { picture => single_line(file_name, MAX_NAME), message => single_line(message, MAX_MESSAGE) }
        }
        MailTask::OrderConfirmed { order_id, placed_at, .. } => {
            context! { order => single_line(order_id.as_str(), MAX_NAME), placed_at => date(*placed_at) }
        }
        MailTask::ConfirmAddress { site, expires, .. } => {
            context! { site => single_line(host(site), MAX_NAME), link => url, expires => date(*expires) }
        }
    }
}

/// The host and the port of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn date(at: UnixMillis) -> String {
    let date = Timestamp::from_millisecond(at).unwrap_or_default();
    date.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Splits a rendered text template into subject and text.
fn split(rendered: &str) -> Option<(String, String)> {
    let (head, text) = rendered.split_once('\n')?;
    let subject = single_line(head.strip_prefix(SUBJECT)?, MAX_SUBJECT);
    let text = text.strip_prefix('\r').unwrap_or(text).strip_prefix('\n')?;
    (!subject.is_empty()).then(|| (subject, format!("{}\n", text.trim_end())))
}

#[cfg(test)]
mod tests;
