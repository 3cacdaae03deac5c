//! The doorbell of a runner.

use std::sync::Arc;

use tokio::sync::Notify;

/// The doorbell: ring it when there may be work. A clone is the same signal.
#[derive(Debug, Clone)]
pub struct WakeSignal(Arc<[Arc<Notify>]>);

impl Default for WakeSignal {
    fn default() -> Self {
        Self::new()
    }
}

impl WakeSignal {
    /// A doorbell that nobody hears yet.
    pub fn new() -> Self {
        Self(Arc::new([Arc::default()]))
    }

    /// A doorbell that rings all of these.
    pub fn all(signals: &[Self]) -> Self {
        Self(signals.iter().flat_map(|signal| signal.0.iter().cloned()).collect())
    }

    /// Wakes the runners, or keeps them from falling asleep next time.
    pub fn notify(&self) {
        self.0.iter().for_each(|signal| signal.notify_one());
    }

    /// Waits for the next ring of the first of these signals. Cancel safe.
    pub(super) async fn rung(&self) {
        match self.0.first() {
            Some(signal) => signal.notified().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_ring_of_a_joined_bell_is_heard_by_each_also_later() {
        let (one, other) = (WakeSignal::new(), WakeSignal::new());
        WakeSignal::all(&[one.clone(), other.clone()]).notify();
        one.notified().await;
        other.notified().await;
        WakeSignal::all(&[]).notify();
    }
}
