//! Liveness and readiness.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use super::draining::Draining;
use super::openapi::OPERATIONS;
use super::resource::get;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    Fine,
    /// Work continues with restrictions, for this reason.
    Degraded(String),
    /// Requests cannot be accepted, for this reason.
    Unavailable(String),
}

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Check> + Send + Sync>;

/// The checks behind `/readyz`.
#[derive(Clone)]
pub(crate) struct Readiness {
    draining: Draining,
    probes: Vec<(&'static str, Probe)>,
}

impl Readiness {
    /// No checks.
    pub(crate) fn new(draining: Draining) -> Self {
        Self { draining, probes: Vec::new() }
    }

    /// Adds a check under a name that the response shows.
    #[must_use]
    pub(crate) fn with<F>(mut self, name: &'static str, probe: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Check> + Send + Sync + 'static,
    {
        self.probes.push((name, Arc::new(probe)));
        self
    }

    async fn report(&self) -> ReadinessReport {
        let mut report = ReadinessReport { checks: BTreeMap::new(), status: ReadinessStatus::Ready };
        for (name, probe) in &self.probes {
            let (status, text) = match probe().await {
                Check::Fine => (ReadinessStatus::Ready, "ok".to_owned()),
                Check::Degraded(reason) => (ReadinessStatus::Degraded, reason),
                Check::Unavailable(reason) => (ReadinessStatus::Unavailable, reason),
            };
            report.status = report.status.max(status);
            report.checks.insert((*name).to_owned(), text);
        }
        if self.draining.is_requested() {
            report.status = ReadinessStatus::Unavailable;
            report.checks.insert("shutdown".to_owned(), "the server is shutting down".to_owned());
        }
        report
    }
}

/// The status of a server, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ReadinessStatus {
    Ready,
    Degraded,
    Unavailable,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Readiness)]
struct ReadinessReport {
    /// The result of each check: `ok`, or the reason why not.
    checks: BTreeMap<String, String>,
    #[schema(inline)]
    status: ReadinessStatus,
}

#[derive(Serialize, ToSchema)]
struct Alive {
    #[schema(inline)]
    status: AliveStatus,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum AliveStatus {
    Ok,
}

/// `/healthz` and `/readyz`.
pub(crate) fn routes(readiness: Readiness) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        services.app_data(web::Data::new(readiness)).service(get("/healthz", healthz)).service(get("/readyz", readyz));
    }
}

/// Check liveness
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "getHealth",
    tag = OPERATIONS,
    responses((status = 200, description = "The process is alive.", body = Alive))
)]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Alive { status: AliveStatus::Ok })
}

/// Check readiness
///
/// Without Redis, the server is degraded: work continues, notifications are delayed. It is unavailable while the
/// database cannot be written, while a disk is almost full, and from the request to shut down on.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "getReadiness",
    tag = OPERATIONS,
    responses(
        (status = 200, description = "Ready or degraded.", body = ReadinessReport),
        (status = 503, description = "Unavailable.", body = ReadinessReport)
    )
)]
pub(super) async fn readyz(readiness: web::Data<Readiness>) -> HttpResponse {
    let report = readiness.report().await;
    let is_unavailable = report.status == ReadinessStatus::Unavailable;
    let status = if is_unavailable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    HttpResponse::build(status).json(report)
}
