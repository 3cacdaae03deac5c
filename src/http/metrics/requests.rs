//! Requests by route, method and status class, and their durations by route.
//!
//! The label of a route is its pattern, never the path of a request. Counting costs three atomic additions and two
//! clock readings per request; a lock is taken when a thread serves a route for the first time, and by a scrape. A
//! request whose client disconnects is not counted.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::Error;
use actix_web::HttpRequest;
use actix_web::dev::ServiceResponse;
use actix_web::http::{Method, StatusCode};
use futures_util::TryFutureExt;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// The label of requests that reached no route: unknown paths, missing tokens and refused pages.
const NONE: &str = "none";
const METHODS: [&str; 5] = ["GET", "HEAD", "POST", "OPTIONS", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The bounds of the histogram, in microseconds: from the read of one row to a long poll with the maximum timeout.
const BOUNDS_US: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 30_000_000,
    60_000_000,
];

#[derive(Debug, Default)]
pub(super) struct Requests {
    series: Mutex<BTreeMap<String, Arc<Series>>>,
}

impl Requests {
    fn series(&self, route: &str) -> Arc<Series> {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(series.entry(route.to_owned()).or_default())
    }
}

/// The responses of one route.
#[derive(Debug, Default)]
struct Series {
    responses: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    /// One bucket per bound, and one for longer durations.
    durations: [AtomicU64; BOUNDS_US.len() + 1],
    nanoseconds: AtomicU64,
}

impl Series {
    fn count(&self, method: &Method, status: StatusCode, took: Duration) {
        let method = METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let bucket = BOUNDS_US.iter().position(|bound| took <= Duration::from_micros(*bound));
        self.responses[method][class].fetch_add(1, Ordering::Relaxed);
        self.durations[bucket.unwrap_or(BOUNDS_US.len())].fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The counts that are not zero.
    fn responses(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let counts = METHODS.iter().zip(&self.responses).flat_map(|(method, classes)| {
            CLASSES.iter().zip(classes).map(|(class, count)| (*method, *class, count.load(Ordering::Relaxed)))
        });
        counts.filter(|(_, _, count)| *count > 0)
    }

    /// The number of requests per bucket.
    fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_US.iter().map(|bound| Duration::from_micros(*bound).as_secs_f64()).chain([f64::INFINITY]);
        bounds.zip(&self.durations).map(|(bound, count)| (bound, count.load(Ordering::Relaxed))).collect()
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let help = "Requests by route pattern, method and status class";
        let mut requests = encoder.encode_descriptor("m3a3_http_requests", help, None, MetricType::Counter)?;
        for (route, series) in &series {
            for (method, class, count) in series.responses() {
                let labels = [("route", route.as_str()), ("method", method), ("status", class)];
                requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
            }
        }
        let help = "Time from the head of a request to the head of its response";
        let mut durations = encoder.encode_descriptor(
            "m3a3_http_request_duration",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (route, series) in &series {
            let buckets = series.buckets();
            let count = buckets.iter().map(|(_, count)| count).sum();
            let seconds = Duration::from_nanos(series.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
            let labels = [("route", route.as_str())];
            durations.encode_family(&labels)?.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// Application data of a resource, or of the server for requests without one, that selects the counters.
#[derive(Debug)]
pub(crate) struct Route {
    pattern: String,
    /// Set at the first request; every server thread has its own resource.
    series: OnceCell<Option<Arc<Series>>>,
}

impl Route {
    pub(crate) fn new(pattern: &str) -> Self {
        Self { pattern: pattern.to_owned(), series: OnceCell::new() }
    }

    pub(crate) fn pattern(&self) -> &str {
        &self.pattern
    }

    pub(super) fn none() -> Self {
        Self::new(NONE)
    }

    fn count(&self, request: &HttpRequest, status: StatusCode, took: Duration) {
        let series = self.series.get_or_init(|| Some(request.app_data::<Arc<Requests>>()?.series(&self.pattern)));
        if let Some(series) = series {
            series.count(request.method(), status, took);
        }
    }
}

/// Counts the response of a service.
pub(crate) fn measured<B>(
    response: impl Future<Output = Result<ServiceResponse<B>, Error>>,
) -> impl Future<Output = Result<ServiceResponse<B>, Error>> {
    let started = Instant::now();
    response.inspect_ok(move |response| {
        let request = response.request();
        if let Some(route) = request.app_data::<Route>() {
            route.count(request, response.status(), started.elapsed());
        }
    })
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn responses_are_counted_by_method_status_class_and_duration() {
        let requests = Arc::new(Requests::default());
        let series = requests.series("/status/{user_id}");
        series.count(&Method::GET, StatusCode::OK, Duration::from_micros(250));
        series.count(&Method::GET, StatusCode::NOT_FOUND, Duration::from_micros(251));
        series.count(&Method::PATCH, StatusCode::METHOD_NOT_ALLOWED, Duration::from_secs(61));
        requests.series("/status/{user_id}").count(&Method::GET, StatusCode::OK, Duration::ZERO);

        let mut registry = Registry::default();
        registry.register_collector(Box::new(requests));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let route = "route=\"/status/{user_id}\"";
        for line in [
            format!("m3a3_http_requests_total{{{route},method=\"GET\",status=\"2xx\"}} 2"),
            format!("m3a3_http_requests_total{{{route},method=\"GET\",status=\"4xx\"}} 1"),
            format!("m3a3_http_requests_total{{{route},method=\"other\",status=\"4xx\"}} 1"),
            format!("m3a3_http_request_duration_seconds_sum{{{route}}} 61.000501"),
            format!("m3a3_http_request_duration_seconds_bucket{{le=\"0.00025\",{route}}} 2"),
            format!("m3a3_http_request_duration_seconds_bucket{{le=\"0.0005\",{route}}} 3"),
            format!("m3a3_http_request_duration_seconds_bucket{{le=\"+Inf\",{route}}} 4"),
            format!("m3a3_http_request_duration_seconds_count{{{route}}} 4"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
        assert_eq!(text.matches("m3a3_http_requests_total").count(), 3, "{text}");
    }
}
