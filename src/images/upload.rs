//! Uploads as `multipart/form-data` (RFC 7578): fields `userId` and `image`, in any order. Other text fields are
//! ignored, since forms of web frameworks have some of their own. The image is streamed to the disk, with a buffer in
//! memory.

use actix_web::error::PayloadError;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use m3a3_thumbnail::{Format, Probe};

use super::enqueue::{check_quotas, conflict, disk_full};
use super::idempotency::{self, IdempotencyKey, Known};
use super::quota::Demand;
use super::store::{self, Submission};
use super::{Limits, State};
use crate::db::now;
use crate::files::{CompleteUpload, Files, Reservation, WriteError};
use crate::http::body::zip_errors;
use crate::http::multipart::{MAX_SKIPPED_BYTES, Multipart, MultipartError, Part};
use crate::http::pace::{Pace, Received};
use crate::http::{Caller, Problem, limits};
use crate::ids::{Invalid, UserId};

const MAX_USER_ID_BYTES: usize = 64;
/// Longer file names of clients are truncated, in characters.
const MAX_NAME_CHARS: usize = 255;

const EXPECTED_USER: &str = "a form field with a whole number from 1 to 9007199254740991";
const EXPECTED_IMAGE: &str = "a form field with an image file";

/// A received image. It is stored after the rest of the form was accepted, so that a refused form leaves no file.
struct ImageField {
    file: CompleteUpload,
    format: Format,
    name: Option<String>,
}

/// A complete form.
struct Form {
    user_id: UserId,
    image: ImageField,
}

/// An upload that may be stored.
pub(super) struct CheckedUpload {
    user_id: UserId,
    image: ImageField,
    key: Option<IdempotencyKey>,
    /// The newest image before its file is stored.
    newest: i64,
}

impl CheckedUpload {
    /// Makes the image durable.
    pub(super) async fn store(self, state: &State) -> Result<Submission, Problem> {
        let Self { user_id, image: ImageField { file, format, name }, key, newest } = self;
        let bytes = file.bytes();
        let stored = file.store(format.extension()).await.map_err(not_written)?;
        Ok(Submission {
            user_id,
            path: stored.path,
            original_name: name,
            key,
            from_message: false,
            mail: state.mail.clone(),
            trace: None,
            bytes,
            created_after: stored.is_new.then_some(newest),
        })
    }
}

/// Receives an upload. Refuses files whose header is not that of a supported image, and those that limits or the
/// idempotency key forbid by the rows that are committed.
pub(super) async fn receive(
    state: &State,
    caller: &Caller,
    key: Option<String>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<CheckedUpload, Problem> {
    let admit = |user_id| {
        limits::user_upload(request, &user_id)?;
        let bytes = content_length(request).unwrap_or(0).saturating_sub(MAX_SKIPPED_BYTES as u64).max(1);
        check_quotas(state, Demand { user_id, key: key.as_deref(), bytes })
    };
    // Before the body is read.
    if let Some(own) = caller.acting_for(None)? {
        admit(own)?;
    }
    let Form { user_id, image } = read_form(&state.files, &state.limits, caller, admit, request, payload).await?;
    // A refused image is not made durable.
    check_quotas(state, Demand { user_id, key: key.as_deref(), bytes: image.file.bytes() })?;
    let key = key.map(|key| IdempotencyKey::new(key, format!("upload {}", image.file.sha256())));
    if let Some(key) = &key {
        let known = state.database.read_point(|connection| idempotency::find(connection, user_id, key, now()))?;
        if known == Known::Another {
            return Err(conflict());
        }
    }
    let newest = state.database.read_point(store::newest)?;
    Ok(CheckedUpload { user_id, image, key, newest })
}

/// `admit` checks the limits of the user that the form names.
async fn read_form(
    files: &Files,
    bounds: &Limits,
    caller: &Caller,
    admit: impl Fn(UserId) -> Result<(), Problem>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<Form, Problem> {
    let max_bytes = bounds.max_upload_bytes;
    let max_form_bytes = max_bytes.saturating_add(MAX_SKIPPED_BYTES as u64);
    let length = content_length(request);
    if length.is_some_and(|length| length > max_form_bytes) {
        return Err(too_large(max_bytes));
    }
    let mut reservation = Some(files.reserve(length, bounds.min_free_bytes).map_err(not_written)?);
    let pace = Pace::default();
    let content_type = request.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let source = limited(payload, max_form_bytes, pace.received());
    let mut form = Body { form: Multipart::new(content_type, source).map_err(malformed)?, pace };
    let (mut user_id, mut image) = (None, None);
    while let Some(part) = form.next_part().await? {
        if part.file_name.is_none() && !["image", "userId"].contains(&part.name.as_str()) {
            continue;
        }
        let first = form.chunk().await?;
        if first.is_none() && part.file_name.as_deref() == Some("") {
            // A file input of a page without a chosen file.
            continue;
        }
        match part.name.as_str() {
            "image" => match reservation.take() {
                Some(reserved) => image = Some(read_image(files, bounds, &part, first, &mut form, reserved).await?),
                None => return Err(Problem::repeated_field("image")),
            },
            "userId" if user_id.is_none() => {
                let named = read_user_id(first, &mut form).await?;
                // Before the image is read, if it comes later.
                if let Ok(user) = &named {
                    caller.check_user(*user)?;
                    if matches!(caller, Caller::Trusted) {
                        admit(*user)?;
                    }
                }
                user_id = Some(named);
            }
            "userId" => return Err(Problem::repeated_field("userId")),
            name => {
                let got = format!("a file in the field {:?}", name.chars().take(60).collect::<String>());
                return Err(Problem::field("form", &Invalid { got, expected: "one file, in the field \"image\"" }));
            }
        }
    }
    let user_id = match user_id {
        Some(named) => named,
        None => caller.acting_for(None)?.ok_or_else(|| Invalid::json(None, EXPECTED_USER)),
    };
    let image = image.ok_or_else(|| Invalid::json(None, EXPECTED_IMAGE));
    let (user_id, image) = zip_errors(("userId", user_id), ("image", image))?;
    Ok(Form { user_id, image })
}

/// A form whose client must keep a pace.
struct Body<S> {
    form: Multipart<S>,
    pace: Pace,
}

impl<S> Body<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    async fn next_part(&mut self) -> Result<Option<Part>, Problem> {
        self.pace.with_stall_timeout(self.form.next_part()).await?.map_err(malformed)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        self.pace.with_stall_timeout(self.form.chunk()).await?.map_err(malformed)
    }
}

async fn read_user_id<S>(first: Option<Bytes>, form: &mut Body<S>) -> Result<Result<UserId, Invalid>, Problem>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let (mut text, mut next) = (Vec::new(), first);
    while let Some(chunk) = next {
        if text.len() + chunk.len() > MAX_USER_ID_BYTES {
            let got = format!("more than {MAX_USER_ID_BYTES} bytes");
            return Ok(Err(Invalid { got, expected: EXPECTED_USER }));
        }
        text.extend_from_slice(&chunk);
        next = form.chunk().await?;
    }
    Ok(String::from_utf8_lossy(&text).trim().parse())
}

async fn read_image<S>(
    files: &Files,
    limits: &Limits,
    part: &Part,
    first: Option<Bytes>,
    form: &mut Body<S>,
    reservation: Reservation,
) -> Result<ImageField, Problem>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let max_bytes = limits.max_upload_bytes;
    let name = part.file_name.as_deref().map(sanitize);
    let mut upload = files.begin_upload(reservation);
    let mut next = first;
    while let Some(chunk) = next {
        if upload.received() + chunk.len() as u64 > max_bytes {
            return Err(too_large(max_bytes));
        }
        upload.write(&chunk).await.map_err(not_written)?;
        next = form.chunk().await?;
    }
    let decoder = limits.decoder();
    let finished = upload.finish(move |reader| m3a3_thumbnail::probe(reader, &decoder)).await;
    let (file, probed) = finished.map_err(not_written)?;
    Ok(ImageField { file, format: supported(probed)?, name })
}

/// Refuses files whose header shows that they cannot be decoded.
fn supported(probed: Result<Probe, m3a3_thumbnail::Error>) -> Result<Format, Problem> {
    probed.map(|probe| probe.format).map_err(|error| {
        let status = match error {
            m3a3_thumbnail::Error::Read { .. } => return Problem::unavailable(error),
            m3a3_thumbnail::Error::Unsupported(_) | m3a3_thumbnail::Error::UnsupportedVariant { .. } => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Problem::new(status, format!("image: {}", error.message()))
    })
}

/// Counts the payload, and ends it with an error above the limit: the form reads the parts around the fields itself.
fn limited(
    payload: web::Payload,
    max_bytes: u64,
    received: Received,
) -> impl Stream<Item = Result<Bytes, PayloadError>> {
    let mut left = max_bytes;
    payload.map(move |chunk| {
        let chunk = chunk?;
        received.add(chunk.len());
        left = left.checked_sub(chunk.len() as u64).ok_or(PayloadError::Overflow)?;
        Ok(chunk)
    })
}

fn sanitize(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(MAX_NAME_CHARS).collect()
}

fn content_length(request: &HttpRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn not_written(error: WriteError) -> Problem {
    match error {
        WriteError::Full(cause) => disk_full(cause),
        WriteError::Failed(cause) => Problem::unavailable(cause),
    }
}

fn too_large(max_bytes: u64) -> Problem {
    let detail = format!("image: got a file of more than {max_bytes} bytes, expected at most {max_bytes} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
}

fn malformed(error: MultipartError) -> Problem {
    let (status, detail) = match error {
        MultipartError::Payload(PayloadError::Overflow) => {
            let detail = "image: got a form that is larger than the limit of an image and its other fields";
            (StatusCode::PAYLOAD_TOO_LARGE, detail.to_owned())
        }
        MultipartError::Skipped => {
            let detail = format!(
                "form: got more than {MAX_SKIPPED_BYTES} bytes of headers and ignored fields, \
                 expected at most {MAX_SKIPPED_BYTES} bytes beside the image"
            );
            (StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        error => (StatusCode::BAD_REQUEST, format!("The multipart form is malformed: {error}.")),
    };
    Problem::new(status, detail)
}

#[cfg(test)]
mod tests;
