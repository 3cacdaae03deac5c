//! The doorbell of a runner.

use std::sync::Arc;

use tokio::sync::Notify;

/// The doorbell: ring it when there may be work. A clone is the same bell.
#[derive(Debug, Clone)]
pub struct Wake(Arc<[Arc<Notify>]>);

impl Default for Wake {
    fn default() -> Self {
        Self::new()
    }
}

impl Wake {
    /// A doorbell that nobody hears yet.
    pub fn new() -> Self {
        Self(Arc::new([Arc::default()]))
    }

    /// A doorbell that rings all of these.
    pub fn all(bells: &[Self]) -> Self {
        Self(bells.iter().flat_map(|bell| bell.0.iter().cloned()).collect())
    }

    /// Wakes the runners, or keeps them from falling asleep next time.
    pub fn ring(&self) {
        self.0.iter().for_each(|bell| bell.notify_one());
    }

    /// Waits for the next ring of the first of these bells. Cancel safe.
    pub(super) async fn rung(&self) {
        match self.0.first() {
            Some(bell) => bell.notified().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_ring_of_a_joined_bell_is_heard_by_each_also_later() {
        let (one, other) = (Wake::new(), Wake::new());
        Wake::all(&[one.clone(), other.clone()]).ring();
        one.rung().await;
        other.rung().await;
        Wake::all(&[]).ring();
    }
}
