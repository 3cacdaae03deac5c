//! Liveness and readiness.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::resource::file;

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
#[derive(Clone, Default)]
pub(crate) struct Readiness {
    probes: Vec<(&'static str, Probe)>,
}

impl Readiness {
    /// Adds a check under a name that the response shows.
    #[must_use]
    pub(crate) fn with<F>(mut self, name: &'static str, probe: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Check> + Send + Sync + 'static,
    {
        self.probes.push((name, Arc::new(probe)));
        self
    }

    async fn report(&self) -> (StatusCode, Value) {
        let mut checks = Map::new();
        let mut worst = "ready";
        for (name, probe) in &self.probes {
            let text = match probe().await {
                Check::Fine => "ok".to_owned(),
                Check::Degraded(why) => {
                    worst = if worst == "ready" { "degraded" } else { worst };
                    why
                }
                Check::Unavailable(why) => {
                    worst = "unavailable";
                    why
                }
            };
            checks.insert((*name).to_owned(), Value::String(text));
        }
        let status = if worst == "unavailable" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        (status, json!({ "status": worst, "checks": checks }))
    }
}

/// `/healthz` and `/readyz`.
pub(crate) fn routes(readiness: Readiness) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        services
            .app_data(web::Data::new(readiness))
            .service(file("/healthz", healthz))
            .service(file("/readyz", readyz));
    }
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

async fn readyz(readiness: web::Data<Readiness>) -> HttpResponse {
    let (status, report) = readiness.report().await;
    HttpResponse::build(status).json(report)
}
