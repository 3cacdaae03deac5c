//! Content that is embedded or in memory, which clients revalidate by its ETag.

use actix_web::http::header::{self, EntityTag};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::conditional::{REVALIDATED, etag, is_unchanged};

/// One content of a fixed media type.
#[derive(Clone)]
pub(crate) struct StaticContent {
    media_type: &'static str,
    etag: EntityTag,
    content: Bytes,
}

impl StaticContent {
    pub(crate) fn new(media_type: &'static str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self { media_type, etag: etag(&content), content }
    }

    /// The content, or 304 if the client has it.
    pub(crate) fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let unchanged = is_unchanged(request.headers(), &self.etag);
        let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header(header::ETag(self.etag.clone()))
            .insert_header((header::CACHE_CONTROL, REVALIDATED))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if unchanged { response.finish() } else { response.content_type(self.media_type).body(self.content.clone()) }
    }
}
