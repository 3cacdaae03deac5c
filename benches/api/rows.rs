//! Inserts the rows that a measurement needs.

use anyhow::Context;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use m3a3::db::UnixMillis;
use m3a3::db::schema::{images, users};
use m3a3::events::{Finished, Outcome};
use m3a3::ids::{JobId, UserId};

/// A time that sweeps do not find, so that only messages announce these rows.
const LONG_AGO: UnixMillis = 1;

/// The thumbnail URL of a user, with the length of a real one.
pub fn thumbnail_url(user: i64) -> String {
    format!("/thumbnails/{user:064x}.jpg")
}

/// Inserts users with one image each; those with an even id have a thumbnail.
pub fn add_users(connection: &mut SqliteConnection, count: i64) -> QueryResult<()> {
    connection.immediate_transaction(|connection| {
        for user in 1..=count {
            let url = (user % 2 == 0).then(|| thumbnail_url(user));
            let row = (users::id.eq(user), users::thumbnail_image.eq(url));
            diesel::insert_into(users::table).values(row).execute(connection)?;
        }
        Ok(())
    })
}

/// Inserts users with these ids, each with a pending image.
pub fn add_waiting(connection: &mut SqliteConnection, ids: &[i64]) -> QueryResult<()> {
    connection.immediate_transaction(|connection| {
        for user in ids {
            diesel::insert_into(users::table).values(users::id.eq(user)).execute(connection)?;
            let image = diesel::insert_into(images::table)
                .values((
                    images::job_id.eq(JobId::generate().to_string()),
                    images::user_id.eq(user),
                    images::path.eq("photo.jpg"),
                    images::created_at.eq(LONG_AGO),
                ))
                .returning(images::id)
                .get_result::<i64>(connection)?;
            diesel::update(users::table.find(user)).set(users::newest_image_id.eq(image)).execute(connection)?;
        }
        Ok(())
    })
}

/// Marks all pending images as done, in one transaction, and returns the messages to publish.
pub fn finish_waiting(connection: &mut SqliteConnection) -> anyhow::Result<Vec<Finished>> {
    let waiting = images::table.filter(images::state.eq("pending"));
    let rows: Vec<(i64, i64, String)> =
        waiting.select((images::id, images::user_id, images::job_id)).load(connection)?;
    connection.immediate_transaction(|connection| {
        for (image, user, _) in &rows {
            let url = thumbnail_url(*user);
            diesel::update(images::table.find(image))
                .set((images::state.eq("done"), images::thumbnail_url.eq(&url), images::finished_at.eq(LONG_AGO)))
                .execute(connection)?;
            diesel::update(users::table.find(user))
                .set((users::thumbnail_image.eq(&url), users::thumbnail_image_id.eq(image)))
                .execute(connection)?;
        }
        QueryResult::Ok(())
    })?;
    rows.into_iter()
        .map(|(_, user, job)| {
            let outcome = Outcome::Done { url: thumbnail_url(user) };
            Ok(Finished { user_id: UserId::new(user)?, job_id: Some(job.parse().context("a job id")?), outcome })
        })
        .collect()
}

/// The number of images.
pub fn images(connection: &mut SqliteConnection) -> QueryResult<i64> {
    images::table.count().get_result(connection)
}
