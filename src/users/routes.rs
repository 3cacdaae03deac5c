//! The routes of users: name and email address.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use super::{Change, Contact, Field, State};
use crate::http::resource::get_put;
use crate::http::{Problem, auth, body};
use crate::ids::{EmailAddress, Invalid, UserId, Username};

/// The description of the routes, for [`OpenApi`](crate::http::openapi::OpenApi).
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// Adds the routes, which need the token.
pub(crate) fn routes(state: State) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        let guarded = get_put("/users/{user_id}", user, put)
            .app_data(web::Data::new(state.auth.clone()))
            .wrap(from_fn(auth::require));
        services.app_data(web::Data::new(state)).service(guarded);
    }
}

async fn user(state: web::Data<State>, user: web::Path<String>) -> Result<HttpResponse, Problem> {
    let user = user_id(&user)?;
    match state.database.read_point(|connection| super::contact(connection, user))? {
        Some(contact) => {
            Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).json(user_response(user, &contact)))
        }
        None => Err(Problem::not_found("There is no such user.")),
    }
}

async fn put(
    state: web::Data<State>,
    user: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let user = user_id(&user)?;
    body::require_json(&request)?;
    let change = change(&body::json_object(payload).await?)?;
    let (created, contact) = state.database.try_write(move |connection| super::put(connection, user, &change)).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(user_response(user, &contact)))
}

fn user_id(text: &str) -> Result<UserId, Problem> {
    text.parse().map_err(|invalid| Problem::field("userId", &invalid))
}

fn change(fields: &Map<String, Value>) -> Result<Change, Problem> {
    let username = field(fields, "username", |value| Username::from_json(Some(value)).map(Username::into_string));
    let email = field(fields, "email", |value| EmailAddress::from_json(Some(value)));
    let (username, email) = body::zip_errors(("username", username), ("email", email))?;
    Ok(Change { username, email })
}

/// A missing field is kept, and `null` clears it.
fn field<T>(
    fields: &Map<String, Value>,
    name: &str,
    parse: impl FnOnce(&Value) -> Result<T, Invalid>,
) -> Result<Field<T>, Invalid> {
    match fields.get(name) {
        None => Ok(Field::Keep),
        Some(Value::Null) => Ok(Field::Clear),
        Some(value) => parse(value).map(Field::Set),
    }
}

fn user_response(user: UserId, contact: &Contact) -> Value {
    let mut body = json!({ "userId": user });
    if let Some(username) = &contact.username {
        body["username"] = json!(username);
    }
    if let Some(email) = &contact.email {
        body["email"] = json!(email);
    }
    body
}
