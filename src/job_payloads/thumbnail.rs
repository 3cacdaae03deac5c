//! The job that makes the thumbnails of an image.

use serde::{Deserialize, Deserializer, Serialize};

use super::{MailPreferences, THUMBNAIL};
use crate::ids::{ImagePath, UserId};
use crate::jobs::{Kind, Task};

/// Makes the thumbnails of an image. The image is found by the id of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThumbnailTask {
    /// The path of the original.
    pub image_path: ImagePath,
    /// The mails that the user gets, decided when the image was accepted. Payloads of earlier versions lack it, and
    /// later versions may know more kinds; both stand for every kind.
    #[serde(default = "MailPreferences::all", deserialize_with = "preferences_or_all")]
    pub mail: MailPreferences,
    /// The owner of the image.
    pub user_id: UserId,
}

fn preferences_or_all<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MailPreferences, D::Error> {
    let stored = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(stored).unwrap_or_else(|_| MailPreferences::all()))
}

impl Task for ThumbnailTask {
    const KIND: Kind = THUMBNAIL;

    fn user_id(&self) -> Option<UserId> {
        Some(self.user_id)
    }
}
