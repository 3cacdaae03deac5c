//! A picture that comes as `multipart/form-data` (RFC 7578): fields `userId` and `image`, in any order. The picture goes
//! to the disk as it comes and is never whole in memory.

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};

use super::Resources;
use super::idempotency::IdempotencyKey;
use super::store::Submission;
use crate::files::{Stored, Upload};
use crate::http::Problem;
use crate::http::body::{both, patiently};
use crate::ids::{Invalid, UserId};
use crate::thumbnail::{self, Format};

/// What the parts around the picture may take.
const MAX_FRAME_BYTES: u64 = 64 << 10;
const MAX_USER_ID_BYTES: usize = 64;
/// A client's file name is kept up to this length, in characters.
const MAX_NAME_CHARS: usize = 255;

const EXPECTED_USER: &str = "a form field with a whole number from 1 to 9007199254740991";
const EXPECTED_IMAGE: &str = "a form field with a picture file";

struct Picture {
    stored: Stored,
    name: Option<String>,
}

/// Receives the upload and makes it durable; what its header shows to be no picture is refused.
pub(super) async fn receive(
    resources: &web::Data<Resources>,
    key: Option<String>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Submission, Problem> {
    let max_bytes = resources.limits.max_upload_bytes;
    let max_form_bytes = max_bytes.saturating_add(MAX_FRAME_BYTES);
    if content_length(request).is_some_and(|length| length > max_form_bytes) {
        return Err(too_large(max_bytes));
    }
    let mut form = Multipart::new(request.headers(), limited(payload, max_form_bytes));
    let (mut user_id, mut picture) = (None, None);
    while let Some(field) = patiently(form.next()).await? {
        let field = field.map_err(malformed)?;
        let name = field.name().unwrap_or("").to_owned();
        match name.as_str() {
            "userId" if user_id.is_none() => user_id = Some(read_user_id(field).await?),
            "image" if picture.is_none() => picture = Some(read_picture(resources, field).await?),
            "userId" | "image" => {
                return Err(Problem::field(&name, &Invalid { got: "it twice".to_owned(), expected: "it once" }));
            }
            _ => {
                let got = format!("the unknown field {:?}", name.chars().take(60).collect::<String>());
                return Err(Problem::field("form", &Invalid { got, expected: "the fields \"userId\" and \"image\"" }));
            }
        }
    }
    let user_id = user_id.unwrap_or_else(|| Err(Invalid::json(None, EXPECTED_USER)));
    let picture = picture.ok_or_else(|| Invalid::json(None, EXPECTED_IMAGE));
    let (user_id, picture) = both(("userId", user_id), ("image", picture))?;
    let key = key.map(|key| IdempotencyKey::new(key, format!("upload {}", picture.stored.sha256)));
    let mail = resources.mail.clone();
    Ok(Submission { user_id, path: picture.stored.path, original_name: picture.name, key, once: false, mail })
}

async fn read_user_id(mut field: Field) -> Result<Result<UserId, Invalid>, Problem> {
    let mut text = Vec::new();
    while let Some(chunk) = patiently(field.try_next()).await?.map_err(malformed)? {
        if text.len() + chunk.len() > MAX_USER_ID_BYTES {
            let got = format!("more than {MAX_USER_ID_BYTES} bytes");
            return Ok(Err(Invalid { got, expected: EXPECTED_USER }));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&text).trim().parse())
}

async fn read_picture(resources: &web::Data<Resources>, mut field: Field) -> Result<Picture, Problem> {
    let max_bytes = resources.limits.max_upload_bytes;
    let name = field.content_disposition().and_then(|disposition| disposition.get_filename()).map(shorten);
    let mut upload = resources.files.begin_upload().await.map_err(Problem::unavailable)?;
    while let Some(chunk) = patiently(field.try_next()).await?.map_err(malformed)? {
        if upload.received() + chunk.len() as u64 > max_bytes {
            return Err(too_large(max_bytes));
        }
        upload.write(chunk).await.map_err(Problem::unavailable)?;
    }
    let format = probe(resources, &mut upload).await?;
    let stored = upload.store(format.extension()).await.map_err(Problem::unavailable)?;
    Ok(Picture { stored, name })
}

/// Refuses what the header shows to be unusable.
async fn probe(resources: &web::Data<Resources>, upload: &mut Upload) -> Result<Format, Problem> {
    let limits = resources.limits.of_pictures();
    let probed = upload.inspect(move |reader| thumbnail::probe(reader, &limits)).await.map_err(Problem::unavailable)?;
    probed.map(|probe| probe.format).map_err(|error| {
        let status = match error {
            thumbnail::Error::Read { .. } => return Problem::unavailable(error),
            thumbnail::Error::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, format!("image: {}", error.message()))
    })
}

/// The payload, which ends in an error when it is larger: what lies around the fields is read by the form itself.
fn limited(payload: web::Payload, max_bytes: u64) -> impl Stream<Item = Result<Bytes, PayloadError>> {
    let mut left = max_bytes;
    payload.map(move |chunk| {
        let chunk = chunk?;
        left = left.checked_sub(chunk.len() as u64).ok_or(PayloadError::Overflow)?;
        Ok(chunk)
    })
}

fn shorten(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(MAX_NAME_CHARS).collect()
}

fn content_length(request: &HttpRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(max_bytes: u64) -> Problem {
    let detail = format!("image: got a file of more than {max_bytes} bytes, expected at most {max_bytes} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn malformed(error: MultipartError) -> Problem {
    if matches!(error, MultipartError::Payload(PayloadError::Overflow)) {
        let detail = "image: got a form that is larger than a picture and its userId may be";
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail);
    }
    Problem::new(StatusCode::BAD_REQUEST, format!("The multipart form is malformed: {error}."))
}
