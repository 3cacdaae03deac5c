//! Content that is embedded or in memory, which clients revalidate by its ETag.

use actix_web::http::header::{self, EntityTag, IfNoneMatch};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

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
        let etag = EntityTag::new_strong(BASE64_STANDARD.encode(Sha256::digest(&content)));
        Self { media_type, etag, content }
    }

    /// The content, or 304 if the client has it.
    pub(crate) fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let unchanged = self.is_current(request);
        let mut response = if unchanged { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header(header::ETag(self.etag.clone()))
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if unchanged { response.finish() } else { response.content_type(self.media_type).body(self.content.clone()) }
    }

    /// Whether the client has the content (RFC 9110, section 13.1.2).
    fn is_current(&self, request: &HttpRequest) -> bool {
        match request.get_header::<IfNoneMatch>() {
            Some(IfNoneMatch::Any) => true,
            Some(IfNoneMatch::Items(tags)) => tags.iter().any(|tag| tag.weak_eq(&self.etag)),
            None => false,
        }
    }
}
