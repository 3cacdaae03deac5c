//! `GET /thumbnails/{name}`, and the thumbnails of the replaced service under their old paths.

use std::fs::File;
use std::io;
use std::path::Path;

use actix_files::NamedFile;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use super::openapi::{FileParams, TAG, Thumbnail};
use crate::files::ThumbnailName;
use crate::http::Problem;
use crate::http::openapi::responses::{BadRequest, NotFound, TokenErrors, TooManyRequests};
use crate::http::openapi::schemas::ProblemBody;
use crate::ids::Invalid;

/// A name is a keyed hash of its content, which therefore never changes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// The replaced service reused names.
const REVALIDATE: &str = "no-cache";

/// Get a thumbnail
///
/// Needs no token, because the name cannot be guessed, and an `<img>` cannot send one. The name is a keyed hash of the
/// content: it cannot be computed from the image either, and the content may be cached forever.
#[utoipa::path(
    get,
    path = "/thumbnails/{name}",
    operation_id = "getThumbnail",
    tag = TAG,
    params(
        ("name" = String, Path, example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.jpg"),
        FileParams
    ),
    responses(
        (status = 200, response = Thumbnail),
        (status = 206, response = Thumbnail),
        (status = 304, description = "The client has it."),
        (status = 400, response = BadRequest),
        (status = 404, response = NotFound),
        (
            status = 412,
            description = "The file does not match `If-Match` or `If-Unmodified-Since`.",
            body = ProblemBody,
            content_type = "application/problem+json"
        ),
        (
            status = 416,
            description = "The range is outside of the file.",
            body = ProblemBody,
            content_type = "application/problem+json"
        ),
        (status = 429, response = TooManyRequests)
    )
)]
pub(super) async fn get(
    state: web::Data<State>,
    request: HttpRequest,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let name: ThumbnailName = name.parse().map_err(|_| missing())?;
    let file = {
        let name = name.clone();
        open(move || state.files.open_thumbnail(&name)).await?
    };
    respond(&request, file, name.as_str(), IMMUTABLE)
}

/// Get a thumbnail of the replaced service by its old path
#[utoipa::path(
    get,
    path = "/uploads/thumbs/{name}",
    operation_id = "getReplacedThumbnail",
    tag = TAG,
    security(("token" = [])),
    params(("name" = String, Path, example = "1.jpg"), FileParams),
    responses(
        (status = 200, response = Thumbnail),
        (status = 206, response = Thumbnail),
        (status = 304, description = "The client has it."),
        (status = 404, response = NotFound),
        (
            status = 412,
            description = "The file does not match `If-Match` or `If-Unmodified-Since`.",
            body = ProblemBody,
            content_type = "application/problem+json"
        ),
        (
            status = 416,
            description = "The range is outside of the file.",
            body = ProblemBody,
            content_type = "application/problem+json"
        ),
        TokenErrors
    )
)]
pub(super) async fn get_replaced(
    state: web::Data<State>,
    request: HttpRequest,
    tail: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let tail = tail.into_inner();
    let file = {
        let tail = tail.clone();
        open(move || state.files.open_replaced_thumbnail(&tail)).await?
    };
    respond(&request, file, &tail, REVALIDATE)
}

async fn open(open: impl FnOnce() -> io::Result<File> + Send + 'static) -> Result<File, Problem> {
    let opened = web::block(open).await.map_err(Problem::internal)?;
    opened.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Problem::internal(error),
        _ => missing(),
    })
}

/// Responds with the file, the requested range, 304, 412 or 416 (RFC 9110).
fn respond(request: &HttpRequest, file: File, name: &str, caching: &'static str) -> Result<HttpResponse, Problem> {
    let named = NamedFile::from_file(file, Path::new(name)).map_err(Problem::internal)?;
    let mut response = named.disable_content_disposition().into_response(request);
    if response.status() == StatusCode::BAD_REQUEST {
        let invalid = Invalid { got: "characters that are not ASCII".to_owned(), expected: "such as \"bytes=0-99\"" };
        return Err(Problem::field("Range", &invalid));
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static(caching));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn missing() -> Problem {
    Problem::not_found("There is no such thumbnail.")
}
