//! Jobs.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Invalid;

/// The id of a job: a UUID version 7 (RFC 9562), so that ids sort by creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = "uuid", example = "01a20af3-7c5c-7497-8f81-9c67afd551d6")]
pub struct JobId(Uuid);

impl JobId {
    /// The lowest id that can be created at this time (in milliseconds since 1970) or later.
    pub fn first_at(unix_millis: i64) -> Self {
        const MAX_MILLIS: u64 = (1 << 48) - 1;
        let millis = u64::try_from(unix_millis).unwrap_or(0).min(MAX_MILLIS);
        let bytes = millis.to_be_bytes();
        let mut id = [0; 16];
        id[..6].copy_from_slice(&bytes[2..]);
        id[6] = 0x70;
        id[8] = 0x80;
        Self(Uuid::from_bytes(id))
    }

    /// A new id, greater than all ids that this process has generated.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl FromStr for JobId {
    type Err = Invalid;

    /// Accepts only the hyphenated form, so that an id has one spelling.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
        let id = if hyphenated { Uuid::parse_str(text).ok() } else { None };
        id.map(Self).ok_or_else(|| Invalid::text(text, "a job id, which is a UUID"))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_has_one_spelling() {
        let id = JobId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().replace('-', "").parse::<JobId>().is_err());
        assert!(JobId::generate() > id);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        assert!(JobId::first_at(now - 1000) < id && id < JobId::first_at(now + 1000));
        assert!(JobId::first_at(-1) < id && id < JobId::first_at(i64::MAX));
    }
}
