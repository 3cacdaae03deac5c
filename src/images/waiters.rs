//! Who waits for news of which user.
//!
//! A waiter registers first, reads the row then, and waits last: whatever happens after the registration wakes it, so
//! nothing falls between the read and the wait. A wake is a hint; only a message whose row nobody here knows, because
//! another program's worker sent it, is carried along.

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
    shards: [Mutex<HashMap<UserId, Arc<Bell>>>; SHARDS],
    hasher: RandomState,
}

/// What the waiters of one user share.
#[derive(Debug, Default)]
struct Bell {
    rung: Notify,
    news: Mutex<News>,
}

#[derive(Debug, Default)]
struct News {
    /// How many waiters there are; it changes only while the bell's shard is locked.
    waiters: usize,
    wakes: u64,
    /// The last message of another program's worker, and the wake that brought it.
    foreign: Option<(u64, Outcome)>,
}

impl Bell {
    fn ring(&self, foreign: Option<Outcome>) {
        {
            let mut news = lock(&self.news);
            news.wakes += 1;
            if let Some(outcome) = foreign {
                news.foreign = Some((news.wakes, outcome));
            }
        }
        self.rung.notify_waiters();
    }
}

impl Waiters {
    /// Registers a waiter; dropping it takes it out again.
    pub(super) fn register(self: &Arc<Self>, user: UserId) -> Waiter {
        let mut shard = self.shard(user);
        let bell = Arc::clone(shard.entry(user).or_default());
        let wakes = {
            let mut news = lock(&bell.news);
            news.waiters += 1;
            news.wakes
        };
        Waiter { waiters: self.clone(), user, bell, registered_at: wakes, seen: wakes }
    }

    /// Whether anyone waits for news of the user.
    pub(super) fn is_awaited(&self, user: UserId) -> bool {
        self.shard(user).contains_key(&user)
    }

    /// Wakes who waits for news of the user.
    pub(super) fn wake(&self, user: UserId, foreign: Option<Outcome>) {
        if let Some(bell) = self.shard(user).get(&user) {
            bell.ring(foreign);
        }
    }

    /// Wakes everyone in one of the [`Waiters::PARTS`] parts, so that a caller can spread the load.
    pub(super) fn wake_part(&self, part: usize) {
        for bell in lock(&self.shards[part % SHARDS]).values() {
            bell.ring(None);
        }
    }

    /// How many parts [`Waiters::wake_part`] knows.
    pub(super) const PARTS: usize = SHARDS;

    /// How many users are waited for.
    pub(super) fn users(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// How many waiters there are.
    pub(super) fn count(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).values().map(|bell| lock(&bell.news).waiters).sum::<usize>()).sum()
    }

    fn shard(&self, user: UserId) -> MutexGuard<'_, HashMap<UserId, Arc<Bell>>> {
        let shard = self.hasher.hash_one(user) as usize % SHARDS;
        lock(&self.shards[shard])
    }
}

/// A panic while a lock is held leaves what it guards whole: every change to it is one call or an assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One waiter.
#[derive(Debug)]
pub(super) struct Waiter {
    waiters: Arc<Waiters>,
    user: UserId,
    bell: Arc<Bell>,
    registered_at: u64,
    /// The last wake that was awaited.
    seen: u64,
}

impl Waiter {
    /// Waits for a wake since the registration or the last call. Cancel safe.
    pub(super) async fn woken(&mut self) {
        loop {
            // It hears what rings from now on, so that nothing falls between the look and the wait.
            let rung = self.bell.rung.notified();
            let wakes = lock(&self.bell.news).wakes;
            if wakes != self.seen {
                self.seen = wakes;
                return;
            }
            rung.await;
        }
    }

    /// What another program's worker has said since the registration, if one did.
    pub(super) fn told(&self) -> Option<Outcome> {
        let news = lock(&self.bell.news);
        news.foreign.as_ref().filter(|(at, _)| *at > self.registered_at).map(|(_, outcome)| outcome.clone())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut shard = self.waiters.shard(self.user);
        let left = {
            let mut news = lock(&self.bell.news);
            news.waiters -= 1;
            news.waiters
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
        (0..Waiters::PARTS).for_each(|part| waiters.wake_part(part));
        assert_eq!(other.woken().now_or_never(), Some(()));
    }

    #[test]
    fn a_waiter_that_goes_away_leaves_nothing_behind() {
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
    fn a_foreign_message_reaches_who_waited_when_it_came_even_after_another_wake() {
        let waiters = Arc::new(Waiters::default());
        let before = waiters.register(user(1));
        let done = Outcome::Done { url: "/x".to_owned() };
        assert_eq!(before.told(), None);
        waiters.wake(user(1), Some(done.clone()));
        let after = waiters.register(user(1));
        waiters.wake(user(1), None);
        assert_eq!(before.told(), Some(done));
        assert_eq!(after.told(), None);
    }

    #[test]
    fn a_waiter_that_waits_already_is_woken_too() {
        let waiters = Arc::new(Waiters::default());
        let mut waiter = waiters.register(user(1));
        let mut waiting = std::pin::pin!(waiter.woken());
        assert_eq!(waiting.as_mut().now_or_never(), None);
        waiters.wake(user(1), None);
        assert_eq!(waiting.now_or_never(), Some(()));
    }
}
