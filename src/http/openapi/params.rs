//! The parameters that many operations share.
#![allow(dead_code, reason = "the types only exist for the API description")]

use utoipa::IntoParams;

use crate::ids::{JobId, UserId};

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct UserIdParam {
    #[param(rename = "userId", example = 1)]
    user_id: UserId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct JobIdParam {
    #[param(rename = "jobId", example = "01a20af3-7c5c-7497-8f81-9c67afd551d6")]
    job_id: JobId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct EtagParams {
    /// The ETags of responses that the client has, or `*`.
    #[param(rename = "If-None-Match", required = false)]
    if_none_match: String,
}
