//! The contract of the Redis channels: one type for each channel.
//!
//! Owns the names and payloads; no other module contains the name of a channel. A message is a hint, never the source
//! of truth, which is the database row. Messages of other programs are parsed leniently (unknown fields are ignored,
//! `jobId` may be missing) and validated strictly: an invalid value makes the message [`Malformed`].

use std::fmt;

use serde_json::{Value, json};

use crate::ids::{CustomerId, ImagePath, Invalid, JobId, OrderId, UserId};

/// A subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The channel with this name.
    Channel(&'static str),
    /// All channels with this prefix, which contains no glob characters.
    Prefix(&'static str),
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// The channels with a fixed name, unlike `finished:{userId}`.
pub const CHANNELS: [&str; 3] = ["image_uploaded", "order_placed", LeaderboardUpdate::CHANNEL];

/// A message of one of the channels.
pub trait Event: Sized + Send + 'static {
    /// The channels of this type.
    const TOPIC: Topic;

    /// The channel of this message.
    fn channel(&self) -> String;

    /// The payload, usually JSON.
    fn payload(&self) -> String;

    /// Parses a message from a channel of [`Event::TOPIC`].
    ///
    /// # Errors
    /// If the name of the channel or the payload is invalid.
    fn parse(channel: &str, payload: &[u8]) -> Result<Self, Malformed>;
}

/// An invalid message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The payload is not a JSON object.
    #[error("the payload is not a JSON object")]
    NotAnObject,
    /// The name of the channel does not end with a user id.
    #[error("the name of the channel: {0}")]
    Channel(#[source] Invalid),
    /// A field is missing or invalid.
    #[error("{field}: {source}")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// The error.
        source: Invalid,
    },
}

/// `image_uploaded`: an image waits for its workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUploaded {
    /// The uploader.
    pub user_id: UserId,
    /// The path below the image root.
    pub image_path: ImagePath,
    /// The thumbnail job in the database; `None` in messages of other programs, which have created no job.
    pub job_id: Option<JobId>,
}

impl Event for ImageUploaded {
    const TOPIC: Topic = Topic::Channel("image_uploaded");

    fn channel(&self) -> String {
        "image_uploaded".to_owned()
    }

    fn payload(&self) -> String {
        let mut payload = json!({ "userId": self.user_id, "imagePath": self.image_path });
        if let Some(job_id) = self.job_id {
            payload["jobId"] = json!(job_id);
        }
        payload.to_string()
    }

    fn parse(_channel: &str, payload: &[u8]) -> Result<Self, Malformed> {
        let payload = object(payload)?;
        Ok(Self {
            user_id: UserId::from_json(payload.get("userId")).map_err(field("userId"))?,
            image_path: ImagePath::from_json(payload.get("imagePath")).map_err(field("imagePath"))?,
            job_id: job_id(&payload)?,
        })
    }
}

/// `finished:{userId}`: the thumbnail of a user is ready, or has failed permanently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The uploader, from the name of the channel.
    pub user_id: UserId,
    /// The thumbnail job; `None` in messages of other programs.
    pub job_id: Option<JobId>,
    /// The outcome of the job.
    pub outcome: Outcome,
}

/// The outcome of a thumbnail job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The thumbnail is ready.
    Done {
        /// The path on the API server.
        url: String,
    },
    /// The job failed permanently.
    Failed {
        /// The error, for the uploader.
        message: String,
    },
}

impl Finished {
    const PREFIX: &str = "finished:";
}

impl Event for Finished {
    const TOPIC: Topic = Topic::Prefix(Self::PREFIX);

    fn channel(&self) -> String {
        format!("{}{}", Self::PREFIX, self.user_id)
    }

    fn payload(&self) -> String {
        let mut payload = match &self.outcome {
            Outcome::Done { url } => json!({ "status": "done", "url": url }),
            Outcome::Failed { message } => json!({ "status": "failed", "message": message }),
        };
        if let Some(job_id) = self.job_id {
            payload["jobId"] = json!(job_id);
        }
        payload.to_string()
    }

    fn parse(channel: &str, payload: &[u8]) -> Result<Self, Malformed> {
        let user_id = channel.strip_prefix(Self::PREFIX).unwrap_or(channel).parse().map_err(Malformed::Channel)?;
        let payload = object(payload)?;
        let text = |name, expected| match payload.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            other => Err(Malformed::Field { field: name, source: Invalid::json(other, expected) }),
        };
        let outcome = match payload.get("status").and_then(Value::as_str) {
            Some("done") => Outcome::Done { url: text("url", "the URL of the thumbnail")? },
            Some("failed") => Outcome::Failed { message: text("message", "an error message")? },
            _ => {
                let source = Invalid::json(payload.get("status"), "\"done\" or \"failed\"");
                return Err(Malformed::Field { field: "status", source });
            }
        };
        Ok(Self { user_id, job_id: job_id(&payload)?, outcome })
    }
}

/// `leaderboard_update`: the sorted set has changed. The payload is for humans and may be any text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderboardUpdate {
    /// Scores were set.
    Changed,
    /// The board was reset to its ten example players.
    Seeded,
    /// Any other payload, from another program.
    Other,
}

impl LeaderboardUpdate {
    /// The name of the channel.
    pub const CHANNEL: &str = "leaderboard_update";
}

impl Event for LeaderboardUpdate {
    const TOPIC: Topic = Topic::Channel(Self::CHANNEL);

    fn channel(&self) -> String {
        Self::CHANNEL.to_owned()
    }

    fn payload(&self) -> String {
        match self {
            Self::Changed | Self::Other => "changed".to_owned(),
            Self::Seeded => "seeded".to_owned(),
        }
    }

    fn parse(_channel: &str, payload: &[u8]) -> Result<Self, Malformed> {
        Ok(match payload {
            b"changed" => Self::Changed,
            b"seeded" => Self::Seeded,
            _ => Self::Other,
        })
    }
}

/// `order_placed`: an order waits for its workers. A message of another program is the order itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPlaced {
    /// The order.
    pub order_id: OrderId,
    /// The customer; `userId` in the payload.
    pub customer_id: CustomerId,
}

impl Event for OrderPlaced {
    const TOPIC: Topic = Topic::Channel("order_placed");

    fn channel(&self) -> String {
        "order_placed".to_owned()
    }

    fn payload(&self) -> String {
        json!({ "orderId": self.order_id, "userId": self.customer_id }).to_string()
    }

    fn parse(_channel: &str, payload: &[u8]) -> Result<Self, Malformed> {
        let payload = object(payload)?;
        Ok(Self {
            order_id: OrderId::from_json(payload.get("orderId")).map_err(field("orderId"))?,
            customer_id: CustomerId::from_json(payload.get("userId")).map_err(field("userId"))?,
        })
    }
}

fn object(payload: &[u8]) -> Result<serde_json::Map<String, Value>, Malformed> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Malformed::NotAnObject),
    }
}

fn job_id(payload: &serde_json::Map<String, Value>) -> Result<Option<JobId>, Malformed> {
    match payload.get("jobId") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(field("jobId")),
        other => Err(field("jobId")(Invalid::json(other, "a job id, which is a UUID"))),
    }
}

fn field(field: &'static str) -> impl Fn(Invalid) -> Malformed {
    move |source| Malformed::Field { field, source }
}

#[cfg(test)]
mod tests;
