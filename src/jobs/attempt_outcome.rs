//! The outcomes of attempts.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;
use serde::Serialize;
use utoipa::ToSchema;

// Stored by its name in `job_attempts.outcome`.
/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, AsExpression, FromSqlRow)]
#[serde(rename_all = "snake_case")]
#[diesel(sql_type = Text)]
pub enum AttemptOutcome {
    /// The attempt has not ended. Not stored: attempts get their row when they end.
    Running,
    /// The job succeeded.
    Done,
    /// The handler returned an error or panicked.
    Failed,
    /// The worker died, or the attempt exceeded the time limit.
    Crashed,
    /// The lease expired.
    Expired,
    /// An operator cancelled the job.
    Cancelled,
}

impl AttemptOutcome {
    const ALL: [Self; 6] = [Self::Running, Self::Done, Self::Failed, Self::Crashed, Self::Expired, Self::Cancelled];

    /// The name in the database and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

impl ToSql<Text, Sqlite> for AttemptOutcome {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.name());
        Ok(IsNull::No)
    }
}

impl FromSql<Text, Sqlite> for AttemptOutcome {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let name = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
        let outcome = Self::ALL.into_iter().find(|outcome| outcome.name() == name);
        outcome.ok_or_else(|| format!("{name:?} is not an outcome of an attempt").into())
    }
}

#[cfg(test)]
mod tests {
    use diesel::prelude::*;

    use super::*;

    #[test]
    fn an_outcome_has_one_name_in_the_database_and_in_json() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        for outcome in AttemptOutcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
            let stored = diesel::select(outcome.into_sql::<Text>()).get_result::<String>(&mut connection);
            assert_eq!(stored.as_deref(), Ok(outcome.name()));
            let read = diesel::select(outcome.name().into_sql::<Text>()).get_result::<AttemptOutcome>(&mut connection);
            assert_eq!(read, Ok(outcome));
        }
        assert!(diesel::select("lost".into_sql::<Text>()).get_result::<AttemptOutcome>(&mut connection).is_err());
    }
}
