//! The signal that wakes an idle runner.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes runners when there may be work. A clone wakes the same ones.
#[derive(Debug, Clone)]
pub struct WakeSignal(Arc<[Arc<Notify>]>);

impl Default for WakeSignal {
    fn default() -> Self {
        Self::new()
    }
}

impl WakeSignal {
    /// A signal of its own.
    pub fn new() -> Self {
        Self(Arc::new([Arc::default()]))
    }

    /// A signal that forwards to all of these.
    pub fn all(signals: &[Self]) -> Self {
        Self(signals.iter().flat_map(|signal| signal.0.iter().cloned()).collect())
    }

    /// Wakes a waiting runner; one that is busy does not sleep next time.
    pub fn notify(&self) {
        self.0.iter().for_each(|signal| signal.notify_one());
    }

    /// Waits for the next [`WakeSignal::notify`]; of a forwarding signal, on the first of its targets. Cancel safe.
    pub(super) async fn notified(&self) {
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
    async fn a_forwarding_signal_wakes_each_target_even_if_it_waits_later() {
        let (one, other) = (WakeSignal::new(), WakeSignal::new());
        WakeSignal::all(&[one.clone(), other.clone()]).notify();
        one.notified().await;
        other.notified().await;
        WakeSignal::all(&[]).notify();
    }
}
