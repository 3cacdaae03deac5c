//! The states of a job.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use serde::Serialize;
use utoipa::ToSchema;

// Stored by its name in `jobs.state`.
/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema, AsExpression, FromSqlRow)]
#[serde(rename_all = "snake_case")]
#[diesel(sql_type = Text)]
pub enum JobState {
    /// Waits for a worker or for its next attempt.
    Queued,
    /// A worker holds its lease.
    Running,
    /// Succeeded.
    Done,
    /// Given up (dead letter).
    Dead,
    /// Cancelled by an operator.
    Cancelled,
}

impl JobState {
    /// All states.
    pub(crate) const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Dead, Self::Cancelled];

    /// The name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Parses a name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The number of attempts of a job in this state, as the API, the command line and the log show it: those that have
    /// failed, and the one that is running or has succeeded. Crashes and failures of the environment do not count.
    pub(crate) fn attempts(self, failed: i32) -> i32 {
        failed.saturating_add(i32::from(matches!(self, Self::Running | Self::Done)))
    }
}

impl ToSql<Text, Sqlite> for JobState {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.name());
        Ok(IsNull::No)
    }
}

impl FromSql<Text, Sqlite> for JobState {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let name = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        Self::by_name(&name).ok_or_else(|| format!("{name:?} is not a job state").into())
    }
}

#[cfg(test)]
mod tests {
    use diesel::prelude::*;

    use super::*;

    #[test]
    fn a_state_has_one_name_in_the_database_in_json_and_in_queries() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        for state in JobState::ALL {
            assert_eq!(JobState::by_name(state.name()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
            let stored = diesel::select(state.into_sql::<Text>()).get_result::<String>(&mut connection);
            assert_eq!(stored.as_deref(), Ok(state.name()));
            let read = diesel::select(state.name().into_sql::<Text>()).get_result::<JobState>(&mut connection);
            assert_eq!(read, Ok(state));
        }
        assert_eq!(JobState::by_name("lost"), None);
        assert!(diesel::select("lost".into_sql::<Text>()).get_result::<JobState>(&mut connection).is_err());
    }
}
