//! `/openapi.json` and `/docs`: the API description, as OpenAPI 3.1 for programs and as a page for people.
//!
//! Each domain describes its routes by attributes of its handlers and of its request and response types; `cli` merges
//! the descriptions, as it composes the routes. A test calls every operation that is described, another one checks that
//! every route is described, and snapshots show every change.

pub(crate) mod params;
pub(crate) mod responses;
pub(crate) mod schemas;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use utoipa::openapi::path::{HttpMethod, OperationBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi as Description, Ref, Server};

use super::page::page;
use super::{health, metrics, resource};
use responses::{
    BadRequest, Forbidden, NotFound, Page, Stalled, TooLarge, TooManyRequests, Unauthorized, Unavailable,
    UnsupportedType,
};
use schemas::{AnyObject, ProblemBody};

const ABOUT: &str = "Every error is a problem (RFC 9457) that says what is wrong. In addition to the responses below, \
                     every path may return 403 for a foreign Host while the server has no token, 405 for a method \
                     that it does not support, 417 for an unknown expectation and 500 for an internal error. \
                     HEAD works wherever GET does.";

/// The description of a server; a clone shares it.
#[derive(Clone)]
pub(crate) struct OpenApi(Bytes);

impl OpenApi {
    /// Merges the descriptions of the domains with that of the routes of every server. Without a public URL, paths are
    /// those of the host that serves the description.
    ///
    /// # Errors
    /// If it cannot be serialized.
    pub(crate) fn new(
        title: &str,
        public_url: Option<&str>,
        domains: impl IntoIterator<Item = Description>,
    ) -> Result<Self, serde_json::Error> {
        let mut description = domains.into_iter().fold(common(), Description::merge_from);
        description.info =
            InfoBuilder::new().title(title).version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT)).build();
        description.servers = public_url.map(|url| vec![Server::new(url)]);
        Ok(Self(description.to_json()?.into()))
    }
}

/// The tag of the routes that every server has.
pub(crate) const OPERATIONS: &str = "Operations";

#[derive(utoipa::OpenApi)]
#[openapi(
    paths(health::healthz, health::readyz, metrics::get, get),
    components(
        schemas(ProblemBody),
        responses(
            BadRequest,
            Unauthorized,
            Forbidden,
            NotFound,
            Stalled,
            TooLarge,
            TooManyRequests,
            UnsupportedType,
            Unavailable,
            Page
        )
    )
)]
struct Common;

fn common() -> Description {
    let mut description = <Common as utoipa::OpenApi>::openapi();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The service token, or a user token on routes for users; required only if one is configured.",
        ))
        .build();
    let components = description.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(token));
    add_page(&mut description, "/docs", OPERATIONS, "getDocs", "Show the API description as a page");
    description
}

/// Adds a page, which has no handler function to describe it.
pub(crate) fn add_page(description: &mut Description, path: &str, tag: &str, operation_id: &str, summary: &str) {
    let operation = OperationBuilder::new()
        .tag(tag)
        .operation_id(Some(operation_id))
        .summary(Some(summary))
        .response("200", Ref::from_response_name("Page"))
        .response("429", Ref::from_response_name("TooManyRequests"))
        .build();
    description.paths.add_path_operation(path, vec![HttpMethod::Get], operation);
}

/// Adds both routes, which need no token.
pub(crate) fn routes(description: OpenApi) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        services
            .app_data(web::Data::new(description))
            .service(resource::get("/openapi.json", get))
            .service(page("/docs", include_str!("../docs.html")));
    }
}

/// Get the API description
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenApi",
    tag = OPERATIONS,
    responses(
        (status = 200, description = "OpenAPI 3.1.", body = inline(AnyObject), content_type = "application/json"),
        (status = 429, response = TooManyRequests)
    )
)]
async fn get(description: web::Data<OpenApi>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header(("Cache-Control", "no-cache"))
        .body(description.0.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use utoipa::openapi::{ComponentsBuilder, OpenApiBuilder};

    use super::*;

    #[test]
    fn descriptions_of_domains_are_merged_with_the_common_one() {
        let domain = |path: &str, schema: &str| {
            let components = ComponentsBuilder::new().schema(schema, Ref::from_schema_name("Problem")).build();
            let mut description = OpenApiBuilder::new().components(Some(components)).build();
            add_page(&mut description, path, "Pages", path, "Show a page");
            description
        };
        let merged =
            OpenApi::new("Both", Some("https://example.org/m"), [domain("/a", "A"), domain("/b", "B")]).unwrap();
        let merged: Value = serde_json::from_slice(&merged.0).unwrap();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&merged["paths"])[..3], ["/a", "/b", "/docs"]);
        let schemas = &merged["components"]["schemas"];
        assert!(schemas["A"].is_object() && schemas["B"].is_object() && schemas["Problem"].is_object());
        assert_eq!(
            (&merged["info"]["title"], &merged["servers"][0]["url"]),
            (&"Both".into(), &"https://example.org/m".into())
        );
    }
}
