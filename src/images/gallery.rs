//! `GET /users/{userId}/images`: pages of a user's images, with their thumbnails and warehouse facts.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::State;
use super::routes::user_id;
use super::variants::{self, Variant};
use crate::db::read_models::{self, AssetEntry, ImageEntry};
use crate::db::timestamp;
use crate::http::{Problem, Query};
use crate::users;

const PAGE: u64 = 50;
const MAX_PAGE: u64 = 500;

pub(super) async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    user: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let user = user_id(&user)?;
    let query = Query::read(&request)?;
    let limit = query.integer("limit", 1..=MAX_PAGE, "a whole number from 1 to 500")?.unwrap_or(PAGE);
    let before = query.integer("before", 1..=i64::MAX as u64, "the last imageId of the previous page")?;
    let before = before.and_then(|before| i64::try_from(before).ok());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = state
        .database
        .read(move |connection| {
            let Some(_) = users::thumbnail_status(connection, user)? else { return Ok(None) };
            // One more than the page has shows whether there is a next page.
            let images = read_models::images_of(connection, user.get(), before, limit + 1)?;
            let ids: Vec<i64> = images.iter().map(|image| image.id).collect();
            Ok(Some((images, variants::of_images(connection, &ids)?)))
        })
        .await?;
    let Some((mut images, variants)) = found else { return Err(Problem::not_found("There is no such user.")) };
    let more = images.len() as i64 > limit;
    images.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let next =
        images.last().filter(|_| more).map(|last| format!("/users/{user}/images?before={}&limit={limit}", last.id));
    let variants_of = |image: &ImageEntry| variants.get(&image.id).map_or(&[][..], Vec::as_slice);
    let images: Vec<Value> = images.into_iter().map(|image| shown(variants_of(&image), image)).collect();
    let mut page = json!({ "userId": user, "images": images });
    if let Some(next) = next {
        page["next"] = json!(next);
    }
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(page))
}

fn shown(variants: &[Variant], image: ImageEntry) -> Value {
    let mut shown = json!({
        "imageId": image.id,
        "jobId": image.job_id,
        "imagePath": image.path,
        "status": image.state,
        "uploadedAt": timestamp::text(image.created_at),
    });
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            shown[name] = value;
        }
    };
    add("originalName", image.original_name.map(Value::from));
    add("message", image.failure.map(Value::from));
    add("thumbnailUrl", image.thumbnail_url.map(Value::from));
    add("thumbnail", variants.first().map(Variant::size));
    add("variants", variants::shown(variants));
    if let Some(AssetEntry { sha256, bytes, format, width, height, captured_at }) = image.asset {
        add("sha256", Some(sha256.into()));
        add("bytes", Some(bytes.into()));
        add("format", Some(format.into()));
        add("width", Some(width.into()));
        add("height", Some(height.into()));
        add("capturedAt", captured_at.map(Value::from));
    }
    shown
}
