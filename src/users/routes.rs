//! The routes of users: name and email address.

use actix_web::http::{Method, StatusCode};
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::confirmation::page;
use super::contact::{self, Change, Changed, Contact, Field, NotChanged};
use super::{State, TooManyUsers, Usage, User};
use crate::db::now;
use crate::http::body::{Checked, FromJson};
use crate::http::limits::StoredLimit;
use crate::http::openapi::params::UserIdParam;
use crate::http::openapi::responses::{BodyErrors, NotFound, TokenErrors};
use crate::http::openapi::schemas::ProblemBody;
use crate::http::resource::{get_post, get_put};
use crate::http::response::uncached;
use crate::http::{Caller, NoQuery, Problem, Scope, UserRoute, auth, body, path};
use crate::ids::{EmailAddress, Invalid, UserId, Username};

pub(super) const TAG: &str = "Users";

/// The routes for user tokens.
pub(crate) const USER_ROUTES: [UserRoute; 2] = [
    UserRoute::new(Method::GET, "/users/{user_id}", Scope::Status),
    UserRoute::new(Method::PUT, "/users/{user_id}", Scope::Upload),
];

/// Adds the routes. They need the token, except for the page behind a confirmation link, whose token is in the link.
pub(crate) fn routes(state: State) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        let guarded = get_put("/users/{user_id}", user, put)
            .app_data(web::Data::new(state.auth.clone()))
            .wrap(from_fn(auth::require));
        let confirming = get_post("/confirm-email", page::show, page::confirm);
        services.app_data(web::Data::new(state)).service(guarded).service(confirming);
    }
}

/// The description of the routes.
pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    <Routes as utoipa::OpenApi>::openapi()
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(user, put, page::show, page::confirm))]
struct Routes;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserChange)]
struct UserRequest {
    #[serde(default)]
    #[schema(value_type = Option<EmailAddress>)]
    email: Checked<Field<EmailAddress>>,
    #[serde(default)]
    #[schema(value_type = Option<Username>)]
    username: Checked<Field<Username>>,
}

/// A missing field is kept, and `null` clears it.
impl<T: FromJson> FromJson for Field<T> {
    fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        match value {
            None => Ok(Self::Keep),
            Some(Value::Null) => Ok(Self::Clear),
            Some(_) => T::from_json(value).map(Self::Set),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
struct UserResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = EmailAddress)]
    email: Option<EmailAddress>,
    /// The sum of the sizes of the images.
    #[schema(minimum = 0)]
    image_bytes: u64,
    /// The number of images.
    #[schema(minimum = 0)]
    images: u64,
    /// The address that a user token has set, while it is not confirmed. It gets no mail but that with the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = EmailAddress)]
    pending_email: Option<EmailAddress>,
    user_id: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "ada")]
    username: Option<String>,
}

impl UserResponse {
    fn new(user_id: UserId, user: User) -> Self {
        let User { contact: Contact { username, email, pending_email }, usage: Usage { images, bytes } } = user;
        Self { email, image_bytes: bytes, images, pending_email, user_id, username }
    }
}

/// Get a user's name, email address and number of images
#[utoipa::path(
    get,
    path = "/users/{userId}",
    operation_id = "getUser",
    tag = TAG,
    security(("token" = [])),
    params(UserIdParam),
    responses(
        (status = 200, description = "The user; unknown fields are omitted.", body = UserResponse),
        (status = 404, response = NotFound),
        TokenErrors
    )
)]
async fn user(
    _: NoQuery,
    state: web::Data<State>,
    caller: Caller,
    user: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let user = path::parse("userId", &user)?;
    caller.check_user(user)?;
    match state.database.read_point(|connection| super::find(connection, user))? {
        Some(found) => Ok(uncached(StatusCode::OK, &UserResponse::new(user, found))),
        None => Err(Problem::not_found("There is no such user.")),
    }
}

/// Set a user's name and email address
///
/// Omitted fields are kept, and null clears a field. A new user is created. With a user token, a new email address is
/// pending until the link that is mailed to it is followed, unless `email.confirm` is false. Setting it again sends
/// another mail, up to five in 24 hours for each user and each address.
#[utoipa::path(
    put,
    path = "/users/{userId}",
    operation_id = "putUser",
    tag = TAG,
    security(("token" = [])),
    params(UserIdParam),
    request_body = UserRequest,
    responses(
        (status = 200, description = "Changed.", body = UserResponse),
        (status = 201, description = "Created.", body = UserResponse),
        (
            status = 507,
            description = "The user is new, and `limits.users` are stored.",
            body = ProblemBody,
            content_type = "application/problem+json"
        ),
        BodyErrors
    )
)]
async fn put(
    _: NoQuery,
    state: web::Data<State>,
    caller: Caller,
    user: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let user = path::parse("userId", &user)?;
    caller.check_user(user)?;
    let UserRequest { email, username } = body::json(&request, payload).await?;
    let (username, email) = body::zip_errors(("username", username.into_result()), ("email", email.into_result()))?;
    let site = match email {
        // Otherwise m3a3 would send mail to an address whose owner never asked for it.
        Field::Set(_) => state.confirmation.site_for(&caller)?,
        Field::Keep | Field::Clear => None,
    };
    let change = Change { username, email, site };
    let max_users = state.max_users;
    let put = state.database.try_write(move |connection| contact::put(connection, user, &change, max_users, now()));
    let Changed { is_new, user: changed } = put.await??;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(UserResponse::new(user, changed)))
}

impl From<NotChanged> for Problem {
    fn from(reason: NotChanged) -> Self {
        match reason {
            NotChanged::Full(full) => full.into(),
            NotChanged::Limited(limited) => limited.into(),
        }
    }
}

impl From<TooManyUsers> for Problem {
    fn from(full: TooManyUsers) -> Self {
        let detail = format!("userId: {full}; users that exist are not affected.");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, detail).above(StoredLimit::Users)
    }
}
