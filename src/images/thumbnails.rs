//! `GET /thumbnails/{name}`, and the thumbnails of the replaced service under their old paths.

use std::fs::File;
use std::io;
use std::path::Path;

use actix_files::NamedFile;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

use super::State;
use crate::files::ThumbnailName;
use crate::http::Problem;

/// A name is the hash of its content, which therefore never changes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// The replaced service reused names.
const REVALIDATE: &str = "no-cache";

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

/// Responds with the file, the requested range, or 304 (RFC 9110).
fn respond(request: &HttpRequest, file: File, name: &str, caching: &'static str) -> Result<HttpResponse, Problem> {
    let named = NamedFile::from_file(file, Path::new(name)).map_err(Problem::internal)?;
    let mut response = named.disable_content_disposition().into_response(request);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static(caching));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn missing() -> Problem {
    Problem::not_found("There is no such thumbnail.")
}
