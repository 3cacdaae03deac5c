//! The description of the routes, and the types that exist only for it.
#![allow(dead_code, reason = "fields and variants are described, but never read")]

use utoipa::{IntoParams, ToResponse, ToSchema};

use super::status::{Done, Failed, Pending};
use super::{enqueue, gallery, routes, thumbnails};
use crate::http::openapi::add_page;
use crate::http::openapi::schemas::Binary;
use crate::ids::{JobId, UserId};

pub(super) const TAG: &str = "Images";

/// The description of the routes.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    let mut description = <Routes as utoipa::OpenApi>::openapi();
    add_page(&mut description, "/", TAG, "getUploadPage", "Show the upload page");
    description
}

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(
        enqueue::post,
        routes::status,
        routes::status_live,
        routes::job,
        routes::job_live,
        gallery::get,
        thumbnails::get,
        thumbnails::get_replaced
    ),
    components(schemas(Binary), responses(Thumbnail))
)]
struct Routes;

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IdempotencyParams {
    /// Makes retries safe: for 24 hours, the same key of the same user returns the same job.
    #[param(rename = "Idempotency-Key", required = false, min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    idempotency_key: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct FileParams {
    #[param(rename = "Range", required = false)]
    range: String,
    #[param(rename = "If-None-Match", required = false)]
    if_none_match: String,
    #[param(rename = "If-Match", required = false)]
    if_match: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TimeoutParams {
    /// How many seconds to hold the request, `serve.long_poll_timeout_s` by default.
    #[param(required = false, minimum = 1, maximum = 60)]
    timeout: u32,
}

/// An image as a form.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Upload)]
pub(super) struct UploadForm {
    /// JPEG, PNG, WebP, GIF, TIFF or BMP, up to `serve.max_upload_bytes`.
    #[schema(value_type = String, format = "binary")]
    image: (),
    /// May be omitted with a user token.
    #[schema(required = false)]
    user_id: UserId,
}

/// Upright, in sRGB; 300x300, and PNG if the image is transparent, unless `images.variants` and `images.output` are
/// set.
#[derive(ToResponse)]
#[response(headers(
    ("Cache-Control", description = "How long the file may be cached."),
    ("ETag", description = "For `If-None-Match` and `If-Match`.")
))]
pub(super) enum Thumbnail {
    Jpeg(#[content("image/jpeg")] Binary),
    Png(#[content("image/png")] Binary),
    Webp(#[content("image/webp")] Binary),
}

/// The final status of a user's thumbnail.
#[derive(ToSchema)]
#[serde(untagged)]
pub(super) enum FinalStatus {
    Done(Done),
    Failed(Failed),
}

/// The final status of a job.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FinalJobStatus {
    job_id: JobId,
    #[serde(flatten)]
    status: FinalStatus,
    user_id: UserId,
}

/// The status of a job that is not finished.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PendingJobStatus {
    job_id: JobId,
    #[serde(flatten)]
    status: Pending,
    user_id: UserId,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum ImageStatus {
    Pending,
    Done,
    Failed,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum ImageFormat {
    Jpg,
    Png,
    Webp,
    Gif,
    Tiff,
    Bmp,
}
