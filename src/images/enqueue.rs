//! `POST /enqueue`: a path, or the picture itself.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::Resources;
use super::idempotency::IdempotencyKey;
use super::store::{self, Accepted, Receipt, Submission};
use super::upload;
use crate::events::ImageUploaded;
use crate::files::OpenError;
use crate::http::{Problem, body};
use crate::ids::{ImagePath, Invalid, UserId};

pub(super) async fn post(
    resources: web::Data<Resources>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let submission = match body::media_type(&request).as_str() {
        "application/json" => by_path(&resources, key, payload).await?,
        "multipart/form-data" => upload::receive(&resources, key, &request, payload).await?,
        other => return Err(unsupported(other)),
    };
    let accepted = resources.database.try_write(move |connection| store::accept(connection, &submission)).await?;
    match accepted {
        Accepted::New(receipt) => {
            resources.bus.publish(&ImageUploaded {
                user_id: receipt.user_id,
                image_path: receipt.path.clone(),
                job_id: Some(receipt.job_id),
            });
            Ok(received(&receipt))
        }
        Accepted::Before(receipt) => Ok(received(&receipt)),
        Accepted::KeyReused => {
            let detail = "Idempotency-Key: this key was used for another upload; use a new key for each upload.";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))
        }
        Accepted::Waiting => Err(Problem::internal("a submission over HTTP was taken for a repeat")),
    }
}

fn received(receipt: &Receipt) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "message": "Image received and event broadcasted!",
        "jobId": receipt.job_id,
        "userId": receipt.user_id,
        "imagePath": receipt.path,
        "statusUrl": format!("/jobs/{}", receipt.job_id),
    }))
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    match IdempotencyKey::parse(value.as_bytes()) {
        Ok(key) => Ok(Some(key)),
        Err(invalid) => Err(Problem::field("Idempotency-Key", &invalid)),
    }
}

fn unsupported(media_type: &str) -> Problem {
    let got = if media_type.is_empty() { "nothing".to_owned() } else { format!("{media_type:?}") };
    let detail = format!("Content-Type: got {got}, expected application/json or multipart/form-data.");
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        .with_header(header::ACCEPT, "application/json, multipart/form-data")
}

async fn by_path(
    resources: &web::Data<Resources>,
    key: Option<String>,
    payload: web::Payload,
) -> Result<Submission, Problem> {
    let fields = body::json_object(payload).await?;
    let user_id = UserId::from_json(fields.get("userId"));
    let path = match fields.get("imagePath") {
        Some(serde_json::Value::String(text)) => resources.files.image_path(text),
        other => ImagePath::from_json(other),
    };
    let (user_id, path) = both(("userId", user_id), ("imagePath", path))?;
    let checked = {
        let (files, path) = (resources.files.clone(), path.clone());
        web::block(move || files.check_original(&path)).await.map_err(Problem::internal)?
    };
    checked.map_err(|error| refuse_path(&path, &error))?;
    let key = key.map(|key| IdempotencyKey::new(key, format!("path {path}")));
    Ok(Submission { user_id, path, original_name: None, key, once: false })
}

/// Both values, or one problem that names every wrong field.
pub(super) fn both<A, B>(
    (first_name, first): (&str, Result<A, Invalid>),
    (second_name, second): (&str, Result<B, Invalid>),
) -> Result<(A, B), Problem> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => {
            let wrong = [(first_name, first.err()), (second_name, second.err())];
            let wrong: Vec<_> = wrong.iter().filter_map(|(name, invalid)| Some((*name, invalid.as_ref()?))).collect();
            Err(Problem::fields(StatusCode::BAD_REQUEST, &wrong))
        }
    }
}

fn refuse_path(path: &ImagePath, error: &OpenError) -> Problem {
    let got = format!("the string {:?}, but {error}", path.as_str());
    Problem::field("imagePath", &Invalid { got, expected: "the path of a picture file below the image root" })
}
