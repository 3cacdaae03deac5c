//! `POST /enqueue`: accepts an image, by its path or as an upload.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use diesel::Connection;
use diesel::sqlite::SqliteConnection;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::State;
use super::commit::Received;
use super::idempotency::{IdempotencyKey, TooManyKeys};
use super::links::Links;
use super::openapi::{IdempotencyParams, TAG, UploadForm};
use super::quota::{Demand, QuotaExceeded};
use super::store::{Acceptance, Receipt, Submission};
use super::{commit, upload};
use crate::files::OpenError;
use crate::http::body::{Checked, FromJson};
use crate::http::limits::{self, Quota, StoredLimit};
use crate::http::openapi::responses::BodyErrors;
use crate::http::openapi::schemas::ProblemBody;
use crate::http::trace_parent::trace_parent;
use crate::http::{Caller, NoQuery, Problem, body};
use crate::ids::{ImagePath, Invalid, JobId, UserId};
use crate::jobs::Permit;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UploadByPath)]
pub(super) struct PathRequest {
    /// Relative to `images.root`. The job waits for a file that does not exist yet.
    #[serde(default)]
    #[schema(value_type = String, required = true, min_length = 1, example = "photos/1.jpg")]
    image_path: Checked<PathText>,
    #[serde(default)]
    #[schema(value_type = UserId, required = true)]
    user_id: Checked<UserId>,
}

/// A path that is not validated yet, since that depends on the image root.
struct PathText(String);

impl FromJson for PathText {
    fn from_json(value: Option<&Value>) -> Result<Self, Invalid> {
        match value {
            Some(Value::String(text)) => Ok(Self(text.clone())),
            other => Err(Invalid::json(other, ImagePath::EXPECTED)),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AcceptedImage {
    image_path: ImagePath,
    job_id: JobId,
    #[schema(inline)]
    message: ReceivedMessage,
    #[schema(example = "/jobs/01a20af3-7c5c-7497-8f81-9c67afd551d6")]
    status_url: String,
    user_id: UserId,
}

#[derive(Serialize, ToSchema)]
enum ReceivedMessage {
    #[serde(rename = "Image received and event broadcasted!")]
    Received,
}

/// Upload an image
///
/// The response is sent once the upload is durable. A file with an invalid header is refused; errors that only decoding
/// finds fail the job. An image beyond `limits.user_bytes` is answered 413, and one beyond `limits.user_images` 429 without
/// `Retry-After`.
#[utoipa::path(
    post,
    path = "/enqueue",
    operation_id = "uploadImage",
    tag = TAG,
    security(("token" = [])),
    params(IdempotencyParams),
    request_body(content((UploadForm = "multipart/form-data"), (PathRequest = "application/json"))),
    responses(
        (status = 200, description = "Accepted.", body = AcceptedImage),
        (
            status = 422,
            description = "The idempotency key was used for another image.",
            body = ProblemBody,
            content_type = "application/problem+json"
        ),
        (
            status = 507,
            description = "The disk is almost full, or the user is new and `limits.users` are stored.",
            body = ProblemBody,
            content_type = "application/problem+json"
        ),
        BodyErrors
    )
)]
pub(super) async fn post(
    _: NoQuery,
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let guard = limits::held_upload(&request)?;
    let permit = admit(&state).await?;
    let received = match body::media_type(&request)?.as_str() {
        "application/json" => {
            caller.check_trusted("an upload by imagePath")?;
            Received::ByPath(by_path(&state, key, &request, payload).await?)
        }
        "multipart/form-data" => Received::Upload(upload::receive(&state, &caller, key, &request, payload).await?),
        other => return Err(body::unsupported(other, &["application/json", "multipart/form-data"])),
    };
    match commit::commit(&state, received, trace_parent(request.headers()), (guard, permit)).await? {
        Acceptance::New(receipt) | Acceptance::AlreadyAccepted(receipt) => Ok(accepted(&receipt, &state.links)),
        Acceptance::Conflict => Err(conflict()),
    }
}

/// 422: the idempotency key belongs to another upload.
pub(super) fn conflict() -> Problem {
    let detail = "Idempotency-Key: this key was used for another upload; use a new key for each upload.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

/// Refuses an upload that would exceed a limit by the rows that are committed.
pub(super) fn check_quotas(state: &State, demand: Demand<'_>) -> Result<(), Problem> {
    // In one transaction, so that a repeat is not refused because of the original.
    let check = |connection: &mut SqliteConnection| connection.transaction(|it| state.quotas.check(it, demand));
    Ok(state.database.read_point(check)??)
}

impl From<QuotaExceeded> for Problem {
    fn from(exceeded: QuotaExceeded) -> Self {
        match exceeded {
            QuotaExceeded::Images { max } => {
                limits::refused(StoredLimit::UserImages, "images of this user", Quota::InAll(max), None)
            }
            QuotaExceeded::Bytes { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("image: {exceeded}")).above(StoredLimit::UserBytes)
            }
            QuotaExceeded::Keys(TooManyKeys { max, wait }) => {
                let subject = "idempotency keys of this user";
                limits::refused(StoredLimit::UserIdempotencyKeys, subject, Quota::PerDay(max), wait)
            }
            QuotaExceeded::Users(full) => full.into(),
        }
    }
}

/// Refuses the request before its body is read if the disk or the queue is full.
async fn admit(state: &State) -> Result<Permit, Problem> {
    let (free, required) = (state.files.free_bytes().map_err(Problem::unavailable)?, state.limits.min_free_bytes);
    if free < required {
        return Err(disk_full(format!("{free} bytes are free, {required} are required")));
    }
    state.queue_limit.acquire().await?.map_err(Problem::from)
}

/// 507; the cause is logged.
pub(super) fn disk_full(cause: String) -> Problem {
    let detail = "The disk is almost full; images are refused until there is free space.";
    Problem::new(StatusCode::INSUFFICIENT_STORAGE, detail).caused_by(cause)
}

fn accepted(receipt: &Receipt, links: &Links) -> HttpResponse {
    HttpResponse::Ok().json(AcceptedImage {
        image_path: receipt.path.clone(),
        job_id: receipt.job_id,
        message: ReceivedMessage::Received,
        status_url: links.to(format!("/jobs/{}", receipt.job_id)),
        user_id: receipt.user_id,
    })
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    match IdempotencyKey::parse(value.as_bytes()) {
        Ok(key) => Ok(Some(key)),
        Err(invalid) => Err(Problem::field("Idempotency-Key", &invalid)),
    }
}

async fn by_path(
    state: &web::Data<State>,
    key: Option<String>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Submission, Problem> {
    let PathRequest { image_path, user_id } = body::json(request, payload).await?;
    let path = image_path.into_result().and_then(|PathText(text)| state.files.image_path(&text));
    let (user_id, path) = body::zip_errors(("userId", user_id.into_result()), ("imagePath", path))?;
    limits::user_upload(request, &user_id)?;
    let checked = {
        let (files, path) = (state.files.clone(), path.clone());
        let check = move || match files.names_upload(&path) && !files.has_upload(&path) {
            // Its job would wait forever, as for storage that is unavailable.
            true => Err(OpenError::Missing),
            false => files.check_original(&path),
        };
        web::block(check).await.map_err(Problem::internal)?
    };
    let bytes = checked.map_err(|error| refuse_path(&path, &error))?;
    let key = key.map(|key| IdempotencyKey::new(key, format!("path {path}")));
    let mail = state.mail.clone();
    Ok(Submission {
        user_id,
        path,
        original_name: None,
        key,
        from_message: false,
        mail,
        trace: None,
        bytes,
        created_after: None,
    })
}

fn refuse_path(path: &ImagePath, error: &OpenError) -> Problem {
    let got = format!("the string {:?}, but {error}", path.as_str());
    Problem::field("imagePath", &Invalid { got, expected: "the path of an image file below the image root" })
}
