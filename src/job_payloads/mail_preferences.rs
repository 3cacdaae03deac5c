//! The kinds of mail, and which of them users get.

use serde::{Deserialize, Serialize};

/// The kinds of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailKind {
    /// [`MailTask::UploadReceived`](super::MailTask::UploadReceived).
    UploadReceived,
    /// [`MailTask::ThumbnailReady`](super::MailTask::ThumbnailReady).
    ThumbnailReady,
    /// [`MailTask::ThumbnailFailed`](super::MailTask::ThumbnailFailed).
    ThumbnailFailed,
    /// [`MailTask::OrderConfirmed`](super::MailTask::OrderConfirmed).
    OrderConfirmed,
    /// [`MailTask::ConfirmAddress`](super::MailTask::ConfirmAddress). Sent whatever the preferences are.
    ConfirmAddress,
}

impl MailKind {
    /// The kinds of which users get those that the configuration lists.
    const OPTIONAL: [Self; 4] =
        [Self::UploadReceived, Self::ThumbnailReady, Self::ThumbnailFailed, Self::OrderConfirmed];

    /// The name in payloads, in the `mails` table and in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UploadReceived => "upload_received",
            Self::ThumbnailReady => "thumbnail_ready",
            Self::ThumbnailFailed => "thumbnail_failed",
            Self::OrderConfirmed => "order_confirmed",
            Self::ConfirmAddress => "confirm_address",
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        Self::OPTIONAL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The kinds of mail that users get. Decided when an image or an order is accepted, for all mails that follow from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MailPreferences(Vec<MailKind>);

impl MailPreferences {
    /// Describes valid input of [`MailPreferences::parse`] in errors.
    pub(crate) const EXPECTED: &str = "\"all\", \"none\", or a comma-separated list of upload_received, \
                                       thumbnail_ready, thumbnail_failed and order_confirmed";

    /// Every optional kind.
    pub(crate) fn all() -> Self {
        Self(MailKind::OPTIONAL.to_vec())
    }

    /// Parses a list of names, `all` or `none`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "all" => Some(Self::all()),
            "none" => Some(Self(Vec::new())),
            names => names.split(',').map(|name| MailKind::by_name(name.trim())).collect::<Option<_>>().map(Self),
        }
    }

    /// Whether users get mails of this kind.
    pub(crate) fn contains(&self, kind: MailKind) -> bool {
        self.0.contains(&kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_preferences_are_parsed() {
        for kind in MailKind::OPTIONAL {
            assert_eq!(MailKind::by_name(kind.name()), Some(kind));
        }
        assert_eq!(MailKind::by_name("birthday"), None);
        let some = MailPreferences::parse("thumbnail_ready, order_confirmed").unwrap();
        assert!(some.contains(MailKind::ThumbnailReady) && !some.contains(MailKind::ThumbnailFailed));
        assert!(MailKind::OPTIONAL.iter().all(|kind| MailPreferences::all().contains(*kind)));
        assert!(MailKind::OPTIONAL.iter().all(|kind| !MailPreferences::parse("none").unwrap().contains(*kind)));
        for wrong in ["", "birthday", "confirm_address", "thumbnail_ready,", "all,none"] {
            assert_eq!(MailPreferences::parse(wrong), None, "{wrong}");
        }
    }
}
