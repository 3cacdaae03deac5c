//! `UPDATE` statements that stay in the connection's cache of prepared statements.
//!
//! Diesel prepares each `UPDATE` anew, because a changeset may set other columns the next time. Preparing one takes
//! longer than changing a row by its key.

use diesel::expression::AppearsOnTable;
use diesel::prelude::*;
use diesel::query_builder::{AsChangeset, AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::BoolOrNullableBool;
use diesel::sqlite::{Sqlite, SqliteConnection};

/// Begins an `UPDATE` of a table, like [`diesel::update`]. Only for hot statements that always set the same columns: the
/// cache has no limit.
pub(crate) fn cached_update<T: Table>(table: T) -> Target<T> {
    Target(table)
}

/// The table to update.
pub(crate) struct Target<T>(T);

impl<T: Table> Target<T> {
    /// Sets these columns in the rows that match the predicate.
    pub(crate) fn set<V, P>(self, values: V, predicate: P) -> CachedUpdate<T, V::Changeset, P>
    where
        V: AsChangeset<Target = T>,
        P: AppearsOnTable<T>,
        P::SqlType: BoolOrNullableBool,
    {
        CachedUpdate { table: self.0.from_clause(), values: values.as_changeset(), predicate }
    }
}

/// An `UPDATE` whose prepared statement is cached by its text.
pub(crate) struct CachedUpdate<T: QuerySource, V, P> {
    table: T::FromClause,
    values: V,
    predicate: P,
}

/// A [`CachedUpdate`] that returns columns of the rows.
pub(crate) struct Returning<T: QuerySource, V, P, R> {
    update: CachedUpdate<T, V, P>,
    columns: R,
}

impl<T: QuerySource, V, P> CachedUpdate<T, V, P> {
    /// Returns these columns of the updated rows.
    pub(crate) fn returning<R: SelectableExpression<T>>(self, columns: R) -> Returning<T, V, P, R> {
        Returning { update: self, columns }
    }
}

impl<T, V, P> QueryFragment<Sqlite> for CachedUpdate<T, V, P>
where
    T: QuerySource,
    T::FromClause: QueryFragment<Sqlite>,
    V: QueryFragment<Sqlite>,
    P: QueryFragment<Sqlite>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("UPDATE ");
        self.table.walk_ast(out.reborrow())?;
        out.push_sql(" SET ");
        self.values.walk_ast(out.reborrow())?;
        out.push_sql(" WHERE ");
        self.predicate.walk_ast(out)
    }
}

impl<T, V, P, R> QueryFragment<Sqlite> for Returning<T, V, P, R>
where
    T: QuerySource,
    CachedUpdate<T, V, P>: QueryFragment<Sqlite>,
    R: QueryFragment<Sqlite>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.update.walk_ast(out.reborrow())?;
        out.push_sql(" RETURNING ");
        self.columns.walk_ast(out)
    }
}

impl<T: QuerySource, V, P, R: Expression> Query for Returning<T, V, P, R> {
    type SqlType = R::SqlType;
}

impl<T: QuerySource, V, P> QueryId for CachedUpdate<T, V, P> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T: QuerySource, V, P, R> QueryId for Returning<T, V, P, R> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T: QuerySource, V, P> RunQueryDsl<SqliteConnection> for CachedUpdate<T, V, P> {}
impl<T: QuerySource, V, P, R> RunQueryDsl<SqliteConnection> for Returning<T, V, P, R> {}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use diesel::connection::InstrumentationEvent;

    use super::*;
    use crate::db::schema::row_counts;
    use crate::db::{Location, migrate};

    #[test]
    fn an_update_is_prepared_once() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::new(folder.path().join("m3a3.db"));
        migrate(&location).unwrap();
        let mut connection = SqliteConnection::establish(location.path().to_str().unwrap()).unwrap();
        let cached = Arc::new(Mutex::new(Vec::new()));
        let texts = Arc::clone(&cached);
        connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { sql, .. } = event {
                texts.lock().unwrap().push(sql.to_owned());
            }
        });
        for number in 1..4_i64 {
            let update =
                cached_update(row_counts::table).set(row_counts::number.eq(number), row_counts::name.eq("users"));
            assert_eq!(update.execute(&mut connection), Ok(1));
            let update =
                cached_update(row_counts::table).set(row_counts::number.eq(-number), row_counts::name.eq("users"));
            assert_eq!(update.returning(row_counts::number).get_result(&mut connection), Ok(-number));
        }
        assert_eq!(cached.lock().unwrap().len(), 2, "{cached:?}");
        let stored = row_counts::table.find("users").select(row_counts::number).get_result(&mut connection);
        assert_eq!(stored, Ok(-3_i64));
    }
}
