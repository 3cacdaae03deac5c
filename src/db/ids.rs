//! How the types of [`crate::ids`] are stored: here and not there, so that `ids` depends on nothing.
//!
//! Reading checks the value again, so a row that another program wrote cannot break a type's invariant.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::Sqlite;

use crate::ids::{ImagePath, JobId, OrderId, UserId};

/// Stores types that display and parse as their text.
macro_rules! stored_as_text {
    ($($id:ty => $proxy:ident, $parse:expr;)*) => {$(
        #[derive(AsExpression, FromSqlRow)]
        #[diesel(foreign_derive, sql_type = Text)]
        #[expect(dead_code, reason = "Diesel derives the traits for its field's type")]
        struct $proxy($id);

        impl ToSql<Text, Sqlite> for $id {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.to_string());
                Ok(IsNull::No)
            }
        }

        impl FromSql<Text, Sqlite> for $id {
            fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                let text = <String as FromSql<Text, Sqlite>>::from_sql(value)?;
                Ok($parse(&text)?)
            }
        }
    )*};
}

stored_as_text! {
    JobId => JobIdProxy, str::parse::<JobId>;
    OrderId => OrderIdProxy, str::parse::<OrderId>;
    ImagePath => ImagePathProxy, ImagePath::new;
}

#[derive(AsExpression, FromSqlRow)]
#[diesel(foreign_derive, sql_type = BigInt)]
#[expect(dead_code, reason = "Diesel derives the traits for its field's type")]
struct UserIdProxy(UserId);

impl ToSql<BigInt, Sqlite> for UserId {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.get());
        Ok(IsNull::No)
    }
}

impl FromSql<BigInt, Sqlite> for UserId {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self::new(<i64 as FromSql<BigInt, Sqlite>>::from_sql(value)?)?)
    }
}

#[cfg(test)]
mod tests {
    use diesel::prelude::*;

    use super::*;

    fn memory() -> SqliteConnection {
        SqliteConnection::establish(":memory:").unwrap()
    }

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let (job, user) = (JobId::generate(), UserId::new(7).unwrap());
        let order: OrderId = "o-\"1\"".parse().unwrap();
        let path = ImagePath::new("photos/ä.jpg").unwrap();
        let row = (
            job.into_sql::<Text>(),
            user.into_sql::<BigInt>(),
            order.clone().into_sql::<Text>(),
            path.clone().into_sql::<Text>(),
        );
        let read = diesel::select(row).get_result::<(JobId, UserId, OrderId, ImagePath)>(&mut memory()).unwrap();
        assert_eq!(read, (job, user, order, path));
    }

    #[test]
    fn a_value_that_breaks_an_invariant_is_an_error() {
        let text = |text: &'static str| diesel::select(text.into_sql::<Text>());
        assert!(text("not a uuid").get_result::<JobId>(&mut memory()).is_err());
        assert!(text("").get_result::<OrderId>(&mut memory()).is_err());
        assert!(text("../etc/passwd").get_result::<ImagePath>(&mut memory()).is_err());
        assert!(diesel::select(0_i64.into_sql::<BigInt>()).get_result::<UserId>(&mut memory()).is_err());
    }
}
