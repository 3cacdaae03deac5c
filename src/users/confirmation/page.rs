//! The page behind a confirmation link: GET shows a form, and its POST confirms the address. Mail scanners follow links,
//! so GET changes nothing. The token of the link is the only credential.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use minijinja::HtmlEscape;
use serde::Deserialize;
use utoipa::{IntoParams, IntoResponses};

use super::key;
use super::store::{self, LinkState};
use super::token::Link;
use crate::db::{DbError, now};
use crate::http::Problem;
use crate::http::openapi::responses::{TooManyRequests, Unavailable};
use crate::http::page::form_page;
use crate::ids::EmailAddress;
use crate::users::State;
use crate::users::routes::TAG;

const TEMPLATE: &str = include_str!("page.html");
/// Without an action, it is sent to the address of the page, also below a path prefix.
const FORM: &str = "<form method=\"post\"><button>Confirm</button></form>";
const NOT_ME: &str = "If you did not enter this address, close this page: nothing changes.";
const EXPIRED: &str = "Enter your email address again to get a new link.";
const REPLACED: &str = "The email address was changed or removed after this link was sent. If you entered another \
                        address, use the link in the mail to that one.";
const INVALID: &str = "It may be incomplete: copy all of it from the mail.";

/// Other parameters are ignored, since some mail servers add theirs to links.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TokenParam {
    /// The token of the link.
    #[param(example = "AAAAAAAAAAEAAAGiIuKEAAcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Ng")]
    token: String,
}

/// The errors of both operations.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "the type only exists for the API description")]
enum LinkErrors {
    /// The link is not valid; a page.
    #[response(status = 400, content_type = "text/html")]
    Invalid(String),
    /// The link has expired, or the address is not pending any more; a page.
    #[response(status = 410, content_type = "text/html")]
    Gone(String),
    #[response(status = 429)]
    TooManyRequests(#[ref_response] TooManyRequests),
    #[response(status = 503)]
    Unavailable(#[ref_response] Unavailable),
}

/// Show the page behind a confirmation link
///
/// Changes nothing. Its form sends `POST` to the same address.
#[utoipa::path(
    get,
    path = "/confirm-email",
    operation_id = "getConfirmation",
    tag = TAG,
    params(TokenParam),
    responses(
        (status = 200, description = "A page for browsers.", body = String, content_type = "text/html"),
        LinkErrors
    )
)]
pub(crate) async fn show(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let found = match link(&state, &request)? {
        Some(link) => state.database.read_point(|connection| store::look_up(connection, &link, now()))?,
        None => LinkState::Invalid,
    };
    Ok(respond(&found))
}

/// Confirm an email address
///
/// The pending address takes effect. Repeated requests have the same response.
#[utoipa::path(
    post,
    path = "/confirm-email",
    operation_id = "confirmEmail",
    tag = TAG,
    params(TokenParam),
    responses(
        (status = 200, description = "Confirmed; a page.", body = String, content_type = "text/html"),
        LinkErrors
    )
)]
pub(crate) async fn confirm(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let found = match link(&state, &request)? {
        Some(link) => state.database.try_write(move |connection| store::confirm(connection, &link, now())).await?,
        None => LinkState::Invalid,
    };
    Ok(respond(&found))
}

/// The link of a request; `None` if its token is not valid.
fn link(state: &State, request: &HttpRequest) -> Result<Option<Link>, DbError> {
    let Some(key) = key::find(&state.database)? else { return Ok(None) };
    let query = web::Query::<TokenParam>::from_query(request.query_string());
    Ok(query.ok().and_then(|query| key.verify(&query.token)))
}

fn respond(state: &LinkState) -> HttpResponse {
    let (status, title, text, form) = match state {
        LinkState::Pending(address) => {
            let text = format!("Press the button to receive mail at {}. {NOT_ME}", shown(address));
            (StatusCode::OK, "Confirm your email address", text, FORM)
        }
        LinkState::Confirmed(address) => {
            let text = format!("Mail is sent to {} from now on. You can close this page.", shown(address));
            (StatusCode::OK, "Your email address is confirmed", text, "")
        }
        LinkState::Expired => (StatusCode::GONE, "This link has expired", EXPIRED.to_owned(), ""),
        LinkState::Replaced => (StatusCode::GONE, "This link is out of date", REPLACED.to_owned(), ""),
        LinkState::Invalid => (StatusCode::BAD_REQUEST, "This link is not valid", INVALID.to_owned(), ""),
    };
    // The text is last, since an address may contain braces.
    let html = TEMPLATE.replace("{title}", title).replace("{form}", form).replace("{text}", &text);
    form_page(status, html)
}

fn shown(address: &EmailAddress) -> String {
    format!("<b><bdi>{}</bdi></b>", HtmlEscape(address.as_str()))
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    #[actix_web::test]
    async fn an_address_is_shown_as_text() {
        let address = "{form}'&`@example.org".parse().unwrap();
        let response = respond(&LinkState::Pending(address));
        let html = String::from_utf8(to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap();
        assert!(html.contains("<bdi>{form}&#x27;&amp;`@example.org</bdi>"), "{html}");
        assert_eq!(html.matches("<form").count(), 1, "{html}");
    }
}
