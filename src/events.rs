//! The contract of the Redis channels: one type per channel, and the only place that knows a channel's name.
//!
//! Owns the names and the payloads. A message is a hint that something happened, never the truth: that is the database
//! row. Messages of other programs are read leniently (unknown fields are ignored, `jobId` may be missing) and checked
//! strictly: what does not make a valid value is [`Malformed`].

use serde_json::{Value, json};

use crate::ids::{CustomerId, ImagePath, Invalid, JobId, OrderId, UserId};

/// What to subscribe to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One channel of this name.
    Channel(&'static str),
    /// Every channel that begins with this prefix (which holds no glob characters).
    Prefix(&'static str),
}

/// The channels that have one name each; `finished:{userId}` is many.
pub const CHANNELS: [&str; 3] = ["image_uploaded", "order_placed", LeaderboardUpdate::CHANNEL];

/// A message of one of the channels.
pub trait Event: Sized + Send + 'static {
    /// The channels that carry this type.
    const TOPIC: Topic;

    /// The channel that carries this message.
    fn channel(&self) -> String;

    /// The payload, JSON unless the channel says otherwise.
    fn payload(&self) -> String;

    /// Reads a message that came on one of [`Event::TOPIC`]'s channels.
    ///
    /// # Errors
    /// When the channel or the payload is not of this type.
    fn parse(channel: &str, payload: &[u8]) -> Result<Self, Malformed>;
}

/// A message that is not of its channel's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The payload is no JSON object.
    #[error("the payload is not a JSON object")]
    NotAnObject,
    /// The channel's name does not end in a user id.
    #[error("the channel's name: {0}")]
    Channel(#[source] Invalid),
    /// A field is missing or wrong.
    #[error("{field}: {source}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong with it.
        source: Invalid,
    },
}

/// `image_uploaded`: a picture waits for its workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUploaded {
    /// Whose picture it is.
    pub user_id: UserId,
    /// Where it lies below the image root.
    pub image_path: ImagePath,
    /// The thumbnail job, already in the database; `None` in messages of other programs, which have made no job.
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

/// `finished:{userId}`: a user's thumbnail is ready, or will never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Whose picture it was; it stands in the channel's name.
    pub user_id: UserId,
    /// The thumbnail job; `None` in messages of other programs.
    pub job_id: Option<JobId>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a picture's thumbnail job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The thumbnail is ready.
    Done {
        /// Where it is: a path on the API server.
        url: String,
    },
    /// There will be no thumbnail.
    Failed {
        /// What is wrong with the picture, for the uploader.
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
            Some("done") => Outcome::Done { url: text("url", "the thumbnail's address")? },
            Some("failed") => Outcome::Failed { message: text("message", "what went wrong")? },
            _ => {
                let source = Invalid::json(payload.get("status"), "\"done\" or \"failed\"");
                return Err(Malformed::Field { field: "status", source });
            }
        };
        Ok(Self { user_id, job_id: job_id(&payload)?, outcome })
    }
}

/// `leaderboard_update`: the sorted set is not what it was. The payload is for people; any text will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderboardUpdate {
    /// Scores were set.
    Changed,
    /// The board was reset to its ten example players.
    Seeded,
    /// Whatever another program said.
    Other,
}

impl LeaderboardUpdate {
    /// The channel's name.
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

/// `order_placed`: an order waits for its workers. From another program it is the order itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderPlaced {
    /// Which order.
    pub order_id: OrderId,
    /// Who placed it; `userId` in the payload.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_event_reads_back_as_it_was_written() {
        let user_id = UserId::new(7).unwrap();
        let job_id = Some(JobId::generate());
        let uploaded = ImageUploaded { user_id, image_path: ImagePath::new("a b/é.jpg").unwrap(), job_id };
        assert_eq!(ImageUploaded::parse(&uploaded.channel(), uploaded.payload().as_bytes()), Ok(uploaded));
        for outcome in [Outcome::Done { url: "/t".into() }, Outcome::Failed { message: "no picture".into() }] {
            let finished = Finished { user_id, job_id, outcome };
            assert_eq!(Finished::parse(&finished.channel(), finished.payload().as_bytes()), Ok(finished));
        }
        let placed = OrderPlaced { order_id: "o \"1\"".parse().unwrap(), customer_id: "7".parse().unwrap() };
        assert_eq!(OrderPlaced::parse(&placed.channel(), placed.payload().as_bytes()), Ok(placed));
        for update in [LeaderboardUpdate::Changed, LeaderboardUpdate::Seeded] {
            assert_eq!(LeaderboardUpdate::parse(&update.channel(), update.payload().as_bytes()), Ok(update));
        }
    }

    #[test]
    fn messages_of_the_old_service_are_understood() {
        let uploaded = ImageUploaded::parse("image_uploaded", br#"{"userId":1,"imagePath":"x.jpg"}"#).unwrap();
        assert_eq!(uploaded.job_id, None);
        let finished = Finished::parse("finished:1", br#"{"status":"done","url":"uploads/thumbs/x.jpg"}"#).unwrap();
        assert_eq!(finished.outcome, Outcome::Done { url: "uploads/thumbs/x.jpg".into() });
    }

    #[test]
    fn malformed_messages_are_told_apart_by_field() {
        let error = |payload: &str| ImageUploaded::parse("image_uploaded", payload.as_bytes()).unwrap_err();
        assert_eq!(error("null"), Malformed::NotAnObject);
        assert_eq!(error("{\"userId\":1"), Malformed::NotAnObject);
        assert!(error(r#"{"userId":"1","imagePath":"x"}"#).to_string().starts_with("userId: got the string \"1\""));
        assert!(error(r#"{"userId":1}"#).to_string().starts_with("imagePath: got nothing"));
        assert!(Finished::parse("finished:x", b"{}").is_err());
        assert!(Finished::parse("finished:1", br#"{"status":"done"}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_fail(channel in any::<String>(), payload in any::<Vec<u8>>()) {
            let _ = ImageUploaded::parse(&channel, &payload);
            let _ = Finished::parse(&channel, &payload);
            let _ = OrderPlaced::parse(&channel, &payload);
            let _ = LeaderboardUpdate::parse(&channel, &payload);
        }
    }
}
