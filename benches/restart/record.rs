//! What the clients of a restart have seen.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Shared by all clients.
#[derive(Debug, Default)]
pub struct Record {
    connected: AtomicUsize,
    answered: AtomicUsize,
    last_boards: AtomicUsize,
    connections: Mutex<Vec<Instant>>,
    failures: Mutex<Vec<String>>,
    finished: AtomicBool,
    finish: Notify,
}

impl Record {
    /// A socket or a poll connects.
    pub fn connect(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    }

    /// It is connected, until it is lost.
    pub fn add(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    pub fn lose(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn answer(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub fn last_board(&self) {
        self.last_boards.fetch_add(1, Ordering::Relaxed);
    }

    /// Records a failure, unless the servers are being stopped at the end.
    pub fn fail(&self, what: &str, error: &anyhow::Error) {
        if !self.finished.load(Ordering::Relaxed) {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{what}: {error:#}"));
        }
    }

    /// Ends the clients.
    pub fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
        self.finish.notify_one();
    }

    pub async fn finished(&self) {
        self.finish.notified().await;
    }

    pub fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    pub fn last_boards(&self) -> usize {
        self.last_boards.load(Ordering::Relaxed)
    }

    pub fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The most connections after `since` that were opened within this time.
    pub fn most(&self, since: Instant, within: Duration) -> usize {
        let mut times = self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        times.retain(|time| *time >= since);
        times.sort_unstable();
        let count = |(at, first): (usize, &Instant)| times[at..].partition_point(|time| *time < *first + within);
        times.iter().enumerate().map(count).max().unwrap_or_default()
    }
}
