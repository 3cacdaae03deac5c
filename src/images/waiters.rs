//! The waiters of long polls, by user.
//!
//! A waiter registers first, then reads the row, then waits: every event after the registration wakes it, so that none
//! is lost between the read and the wait. A wake carries no data, except the outcome of images that have no row here,
//! from messages of another program's worker.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::events::Outcome;
use crate::ids::UserId;

const SHARDS: usize = 16;

/// The waiters of a process.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    shards: [Mutex<HashMap<UserId, Arc<Channel>>>; SHARDS],
    hasher: RandomState,
}

/// The state that the waiters of one user share.
#[derive(Debug, Default)]
struct Channel {
    notify: Notify,
    state: Mutex<ChannelState>,
}

#[derive(Debug, Default)]
struct ChannelState {
    /// The number of waiters; it changes only while the shard is locked.
    waiters: usize,
    wakes: u64,
    /// The last outcome from another program's worker, and the number of its wake.
    foreign: Option<(u64, Outcome)>,
}

impl Channel {
    fn wake(&self, foreign: Option<Outcome>) {
        {
            let mut state = lock(&self.state);
            state.wakes += 1;
            if let Some(outcome) = foreign {
                state.foreign = Some((state.wakes, outcome));
            }
        }
        self.notify.notify_waiters();
    }
}

impl Waiters {
    /// Registers a waiter, until it is dropped.
    pub(super) fn register(self: &Arc<Self>, user: UserId) -> Waiter {
        let mut shard = self.shard(user);
        let channel = Arc::clone(shard.entry(user).or_default());
        let wakes = {
            let mut state = lock(&channel.state);
            state.waiters += 1;
            state.wakes
        };
        Waiter { waiters: self.clone(), user, channel, registered_at: wakes, seen: wakes }
    }

    /// Whether the user has waiters.
    pub(super) fn is_awaited(&self, user: UserId) -> bool {
        self.shard(user).contains_key(&user)
    }

    /// Wakes the waiters of a user.
    pub(super) fn wake(&self, user: UserId, foreign: Option<Outcome>) {
        if let Some(channel) = self.shard(user).get(&user) {
            channel.wake(foreign);
        }
    }

    /// Wakes all waiters of one of the [`Waiters::SHARDS`] shards, so that a caller can spread the load.
    pub(super) fn wake_shard(&self, shard: usize) {
        for channel in lock(&self.shards[shard % SHARDS]).values() {
            channel.wake(None);
        }
    }

    pub(super) const SHARDS: usize = SHARDS;

    /// The number of users with waiters.
    pub(super) fn users(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// The number of waiters.
    pub(super) fn count(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| lock(shard).values().map(|channel| lock(&channel.state).waiters).sum::<usize>())
            .sum()
    }

    fn shard(&self, user: UserId) -> MutexGuard<'_, HashMap<UserId, Arc<Channel>>> {
        let shard = self.hasher.hash_one(user) as usize % SHARDS;
        lock(&self.shards[shard])
    }
}

/// A panic under a lock leaves the guarded data consistent: every change to it is one call or an assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
pub(super) struct Waiter {
    waiters: Arc<Waiters>,
    user: UserId,
    channel: Arc<Channel>,
    registered_at: u64,
    /// The last wake that [`Waiter::woken`] returned for.
    seen: u64,
}

impl Waiter {
    /// Waits for a wake since the registration or the last call. Cancel safe.
    pub(super) async fn woken(&mut self) {
        loop {
            // Created before the check, so that no wake is lost between the check and the wait.
            let notified = self.channel.notify.notified();
            let wakes = lock(&self.channel.state).wakes;
            if wakes != self.seen {
                self.seen = wakes;
                return;
            }
            notified.await;
        }
    }

    /// The last outcome from another program's worker since the registration.
    pub(super) fn foreign_outcome(&self) -> Option<Outcome> {
        let state = lock(&self.channel.state);
        state.foreign.as_ref().filter(|(at, _)| *at > self.registered_at).map(|(_, outcome)| outcome.clone())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut shard = self.waiters.shard(self.user);
        let left = {
            let mut state = lock(&self.channel.state);
            state.waiters -= 1;
            state.waiters
        };
        if left == 0 {
            shard.remove(&self.user);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    #[test]
    fn every_waiter_of_a_user_is_woken_once_and_others_are_not() {
        let waiters = Arc::new(Waiters::default());
        let mut first = waiters.register(user(1));
        let mut second = waiters.register(user(1));
        let mut other = waiters.register(user(2));
        waiters.wake(user(1), None);
        assert_eq!(first.woken().now_or_never(), Some(()));
        assert_eq!(second.woken().now_or_never(), Some(()));
        assert_eq!(first.woken().now_or_never(), None);
        assert_eq!(other.woken().now_or_never(), None);
        (0..Waiters::SHARDS).for_each(|shard| waiters.wake_shard(shard));
        assert_eq!(other.woken().now_or_never(), Some(()));
    }

    #[test]
    fn dropped_waiters_are_removed() {
        let waiters = Arc::new(Waiters::default());
        let first = waiters.register(user(1));
        let second = waiters.register(user(1));
        assert_eq!((waiters.users(), waiters.count()), (1, 2));
        drop(first);
        assert!(waiters.is_awaited(user(1)));
        drop(second);
        assert_eq!(waiters.users(), 0);
    }

    #[test]
    fn a_foreign_outcome_reaches_earlier_waiters_even_after_another_wake() {
        let waiters = Arc::new(Waiters::default());
        let before = waiters.register(user(1));
        let done = Outcome::Done { url: "/x".to_owned() };
        assert_eq!(before.foreign_outcome(), None);
        waiters.wake(user(1), Some(done.clone()));
        let after = waiters.register(user(1));
        waiters.wake(user(1), None);
        assert_eq!(before.foreign_outcome(), Some(done));
        assert_eq!(after.foreign_outcome(), None);
    }

    #[test]
    fn a_waiter_that_is_already_waiting_is_woken() {
        let waiters = Arc::new(Waiters::default());
        let mut waiter = waiters.register(user(1));
        let mut waiting = std::pin::pin!(waiter.woken());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        waiters.wake(user(1), None);
        assert_eq!(waiting.now_or_never(), Some(()));
    }
}
