//! The test harness: private servers, and waits with a deadline.

pub mod app;
pub mod binary;
pub mod bridge;
pub mod certificates;
pub mod feed;
pub mod job_lab;
pub mod journal;
pub mod openapi;
pub mod pictures;
pub mod ports;
pub mod problem;
pub mod raw_http;
pub mod receiver;
pub mod redis;
pub mod scripted_api;
#[cfg(feature = "client")]
pub mod scripted_socket;
pub mod smtp;
pub mod tcp;
#[cfg(feature = "client")]
pub mod terminal;
#[cfg(feature = "client")]
pub mod tls_proxy;
pub mod websocket;
pub mod wire;

use std::future::Future;
use std::time::{Duration, Instant};

/// The timeout of every wait.
const DEADLINE: Duration = Duration::from_secs(20);

/// Awaits a future.
///
/// # Panics
/// After [`DEADLINE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {DEADLINE:?}"),
    }
}

/// Polls a condition until it holds.
///
/// # Panics
/// After [`DEADLINE`].
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "{what} did not happen within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Polls an asynchronous condition until it holds.
///
/// # Panics
/// After [`DEADLINE`].
pub async fn until_async(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < DEADLINE, "{what} did not happen within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
