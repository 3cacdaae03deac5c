//! `GET /users/{userId}/images`: pages of a user's images, with their thumbnails and warehouse facts.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::links::Links;
use super::openapi::{ImageFormat, ImageStatus};
use super::variants::{self, Size, Variants};
use crate::db::read_models::{self, ImageEntry, VariantEntry};
use crate::db::timestamp;
use crate::http::openapi::params::UserIdParam;
use crate::http::openapi::responses::{NotFound, TokenErrors};
use crate::http::response::uncached;
use crate::http::{Caller, Problem, Query, path};
use crate::ids::UserId;
use crate::users;

const PAGE: u64 = 50;
const MAX_PAGE: u64 = 500;

/// A page of the images.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// The maximum number of images.
    #[param(value_type = u64, required = false, minimum = 1, maximum = 500, default = 50)]
    limit: i64,
    /// Only images that were uploaded before this imageId, as in `next`.
    #[param(value_type = u64, required = false, minimum = 1)]
    before: Option<i64>,
}

impl PageQuery {
    fn read(request: &HttpRequest) -> Result<Self, Problem> {
        let query = Query::read(request, &["limit", "before"])?;
        let limit = query.integer("limit", 1..=MAX_PAGE, "a whole number from 1 to 500")?.unwrap_or(PAGE);
        let before = query.integer("before", 1..=i64::MAX as u64, "the last imageId of the previous page")?;
        Ok(Self {
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            before: before.and_then(|before| i64::try_from(before).ok()),
        })
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Gallery {
    images: Vec<GalleryImage>,
    /// The next page: a path on this server, or a URL below `serve.public_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "/users/1/images?before=7&limit=50")]
    next: Option<String>,
    user_id: UserId,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct GalleryImage {
    /// The file size; this and the other facts of the warehouse are omitted until its worker has processed the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i64, minimum = 1)]
    bytes: Option<i64>,
    /// By the EXIF data; without an offset if the camera did not set one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "2026-07-09T18:30:05+02:00")]
    captured_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ImageFormat, inline)]
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i32, minimum = 1)]
    height: Option<i32>,
    #[schema(minimum = 1, example = 8)]
    image_id: i64,
    /// The path of the original below the image root.
    image_path: String,
    #[schema(format = "uuid")]
    job_id: String,
    /// Why there is no thumbnail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    message: Option<String>,
    /// The uploader's file name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    original_name: Option<String>,
    /// The hash of the original.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    sha256: Option<String>,
    #[schema(value_type = ImageStatus, inline)]
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Size, inline)]
    thumbnail: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    thumbnail_url: Option<String>,
    #[schema(format = "date-time")]
    uploaded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Variants)]
    variants: Option<Variants>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = i32, minimum = 1)]
    width: Option<i32>,
}

/// Get a user's images, newest first
///
/// With their thumbnails, and with the facts of the warehouse once its worker has processed them.
#[utoipa::path(
    get,
    path = "/users/{userId}/images",
    operation_id = "getUserImages",
    tag = "Users",
    security(("token" = [])),
    params(UserIdParam, PageQuery),
    responses(
        (status = 200, description = "A page; the last one has no `next`.", body = Gallery),
        (status = 404, response = NotFound),
        TokenErrors
    )
)]
pub(super) async fn get(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    user: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let user = path::parse("userId", &user)?;
    caller.check_user(user)?;
    let PageQuery { limit, before } = PageQuery::read(&request)?;
    let found = state
        .database
        .read(move |connection| {
            let Some(_) = users::usage(connection, user)? else { return Ok(None) };
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
    let next = next.map(|next| state.links.to(next));
    let variants_of = |image: &ImageEntry| variants.get(&image.id).map_or(&[][..], Vec::as_slice);
    let images = images.into_iter().map(|image| GalleryImage::new(variants_of(&image), image, &state.links)).collect();
    let gallery = Gallery { images, next, user_id: user };
    Ok(uncached(StatusCode::OK, &gallery))
}

impl GalleryImage {
    fn new(variants: &[VariantEntry], image: ImageEntry, links: &Links) -> Self {
        let asset = image.asset.as_ref();
        Self {
            bytes: asset.map(|asset| asset.bytes),
            captured_at: asset.and_then(|asset| asset.captured_at.clone()),
            format: asset.map(|asset| asset.format.clone()),
            height: asset.map(|asset| asset.height),
            image_id: image.id,
            image_path: image.path,
            job_id: image.job_id,
            message: image.failure,
            original_name: image.original_name,
            sha256: asset.map(|asset| asset.sha256.clone()),
            status: image.state,
            thumbnail: variants.first().map(VariantEntry::size),
            thumbnail_url: image.thumbnail_url.map(|url| links.to(url)),
            uploaded_at: timestamp::text(image.created_at),
            variants: Variants::new(variants, links),
            width: asset.map(|asset| asset.width),
        }
    }
}
