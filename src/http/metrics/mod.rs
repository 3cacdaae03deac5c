//! `/metrics`, for Prometheus.
//!
//! Owns the request counters. `cli` registers all other metrics as functions that are called at each scrape, so that
//! nothing has to be kept up to date. The format is OpenMetrics 1.0. A metric that cannot be read is omitted; the
//! others are not affected.

mod process;
mod requests;

use std::fmt;
use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::{HttpResponse, web};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, future};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::openapi::OPERATIONS;
use super::openapi::responses::{Forbidden, Unauthorized};
use super::{AdminAuth, Problem, auth, resource};
use requests::Requests;
pub(crate) use requests::{Route, measured};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only increases; its name gets the suffix `_total`.
    Counter,
    Gauge,
}

/// One value of a metric, with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) value: f64,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Self {
        Self { labels: Vec::new(), value }
    }
}

type Read = Arc<dyn Fn() -> BoxFuture<'static, Vec<Sample>> + Send + Sync>;

/// The metrics of one server; a clone shares them.
#[derive(Clone, Default)]
pub(crate) struct Metrics {
    requests: Arc<Requests>,
    metrics: Vec<Metric>,
}

#[derive(Clone)]
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    read: Read,
}

impl Metrics {
    /// Requests, and the process metrics of the operating system.
    pub(crate) fn new() -> Self {
        process::add_metrics(Self::default())
    }

    /// Adds a metric that is read asynchronously or has several samples. Without samples, it is omitted.
    #[must_use]
    pub(crate) fn with<F>(mut self, name: &'static str, help: &'static str, kind: Kind, read: F) -> Self
    where
        F: Fn() -> BoxFuture<'static, Vec<Sample>> + Send + Sync + 'static,
    {
        self.metrics.push(Metric { name, help, kind, read: Arc::new(read) });
        self
    }

    /// Adds a metric with one value.
    #[must_use]
    pub(crate) fn with_value<F>(self, name: &'static str, help: &'static str, kind: Kind, read: F) -> Self
    where
        F: Fn() -> f64 + Send + Sync + 'static,
    {
        self.with(name, help, kind, move || future::ready(vec![Sample::from(read())]).boxed())
    }

    async fn text(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        for Metric { name, help, kind, read } in &self.metrics {
            let samples = read().await;
            registry.register_collector(Box::new(Scraped { name, help, kind: *kind, samples }));
        }
        registry.register_collector(Box::new(Arc::clone(&self.requests)));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// A metric with the samples of one scrape.
#[derive(Debug)]
struct Scraped {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: Vec<Sample>,
}

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        if self.samples.is_empty() {
            return Ok(());
        }
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for Sample { labels, value } in &self.samples {
            match labels.is_empty() {
                true => self.kind.encode(&mut metric, *value)?,
                false => self.kind.encode(&mut metric.encode_family(labels)?, *value)?,
            }
        }
        Ok(())
    }
}

impl Kind {
    fn encode(self, sample: &mut MetricEncoder, value: f64) -> fmt::Result {
        match self {
            Self::Counter => sample.encode_counter::<NoLabelSet, _, f64>(&value, None),
            Self::Gauge => sample.encode_gauge(&value),
        }
    }
}

/// The path of the metrics, for operators.
pub(crate) const PATH: &str = "/metrics";

/// Adds `/metrics`, which needs the token of `auth`, and counts the server's requests.
pub(crate) fn routes(metrics: Metrics, auth: AdminAuth) -> impl FnOnce(&mut web::ServiceConfig) {
    move |services| {
        services
            .app_data(Arc::clone(&metrics.requests))
            .app_data(web::Data::new(metrics))
            .app_data(Route::none())
            .service(resource::get("/metrics", get).app_data(web::Data::new(auth)).wrap(from_fn(auth::require_admin)));
    }
}

/// Get metrics for Prometheus
///
/// Needs `auth.admin_token` if set, otherwise `auth.token`.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "getMetrics",
    tag = OPERATIONS,
    security(("token" = [])),
    responses(
        (
            status = 200,
            description = "OpenMetrics 1.0.",
            body = String,
            content_type = "application/openmetrics-text"
        ),
        (status = 401, response = Unauthorized),
        (status = 403, response = Forbidden)
    )
)]
pub(super) async fn get(metrics: web::Data<Metrics>) -> Result<HttpResponse, Problem> {
    let text = metrics.text().await.map_err(Problem::internal)?;
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).insert_header(("Cache-Control", "no-store")).body(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn metrics_are_read_at_each_scrape_and_omitted_without_samples() {
        let backlog = || {
            let sample = |state: &str, value| Sample { labels: vec![("state", state.to_owned())], value };
            future::ready(vec![sample("queued", 3.0), sample("dead", 0.0)]).boxed()
        };
        let metrics = Metrics::default()
            .with_value("m3a3_connected", "Whether it is", Kind::Gauge, || 1.0)
            .with_value("m3a3_drops", "How many", Kind::Counter, || 7.0)
            .with("m3a3_jobs", "Jobs", Kind::Gauge, backlog)
            .with("m3a3_silent", "Nothing", Kind::Gauge, || future::ready(Vec::new()).boxed());
        let text = metrics.text().await.unwrap();
        let readings = text.split("# HELP m3a3_http_").next().unwrap();
        assert_eq!(
            readings,
            "# HELP m3a3_connected Whether it is\n# TYPE m3a3_connected gauge\nm3a3_connected 1.0\n\
             # HELP m3a3_drops How many\n# TYPE m3a3_drops counter\nm3a3_drops_total 7.0\n\
             # HELP m3a3_jobs Jobs\n# TYPE m3a3_jobs gauge\n\
             m3a3_jobs{state=\"queued\"} 3.0\nm3a3_jobs{state=\"dead\"} 0.0\n"
        );
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
