//! `/openapi.json` and `/docs`: the API description, as OpenAPI 3.1 for programs and as a page for people.
//!
//! Each domain has a description of its routes next to them; `cli` merges them, as it composes the routes. A test calls
//! every operation that is described, and another one checks that every route is described.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::page::page;
use super::resource::file;

const COMMON: &str = include_str!("openapi.json");
const ABOUT: &str = "Every error is a problem (RFC 9457) that says what is wrong. Beside what is described, any path \
                     may answer 405 to a method that is not its own, and 500, which is a mistake of ours.";

/// A server's description; a clone shares it.
#[derive(Clone)]
pub(crate) struct OpenApi(Bytes);

impl OpenApi {
    /// The description of a server whose routes are described by `parts`, which is JSON, and of those that every server
    /// has.
    ///
    /// # Errors
    /// When a part is no JSON object.
    pub(crate) fn new(title: &str, parts: &[&str]) -> Result<Self, serde_json::Error> {
        let mut whole = json!({
            "openapi": "3.1.1",
            "info": {
                "title": title,
                "version": env!("CARGO_PKG_VERSION"),
                "description": ABOUT,
            },
        });
        for part in parts.iter().chain(&[COMMON]) {
            merge(&mut whole, Value::Object(serde_json::from_str::<Map<_, _>>(part)?));
        }
        Ok(Self(whole.to_string().into()))
    }
}

/// Merges `more` into a value, at every depth.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (name, value) in more {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

/// Adds both routes, which need no token.
pub(crate) fn routes(description: OpenApi) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        services
            .app_data(web::Data::new(description))
            .service(file("/openapi.json", get))
            .service(page("/docs", include_str!("docs.html")));
    }
}

async fn get(description: web::Data<OpenApi>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache"))
        .body(description.0.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_put_together_at_every_depth() {
        let parts =
            [r#"{ "paths": { "/a": {} }, "components": { "schemas": { "A": {} } } }"#, r#"{ "paths": { "/b": {} } }"#];
        let whole: Value = serde_json::from_slice(&OpenApi::new("Both", &parts).unwrap().0).unwrap();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&whole["paths"])[..3], ["/a", "/b", "/docs"]);
        assert!(
            whole["components"]["schemas"]["A"].is_object() && whole["components"]["schemas"]["Problem"].is_object()
        );
        assert!(OpenApi::new("Neither", &["[]"]).is_err());
    }
}
