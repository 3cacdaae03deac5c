//! Who waits for news of which user.
//!
//! A waiter registers first, reads the row then, and waits last: whatever happens after the registration wakes it, so
//! nothing falls between the read and the wait. A wake is a hint; only a message whose row nobody here knows, because
//! another program's worker sent it, is carried along.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::events::Outcome;
use crate::ids::UserId;

const SHARDS: usize = 16;

/// The waiters of a process.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    shards: [Mutex<HashMap<UserId, watch::Sender<News>>>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug, Clone, Default)]
struct News {
    wakes: u64,
    /// The last message of another program's worker, and the wake that brought it.
    foreign: Option<(u64, Outcome)>,
}

impl Waiters {
    /// Registers a waiter; dropping it takes it out again.
    pub(super) fn register(self: &Arc<Self>, user: UserId) -> Waiter {
        let news = {
            let mut shard = self.shard(user);
            shard.entry(user).or_insert_with(|| watch::Sender::new(News::default())).subscribe()
        };
        let registered_at = news.borrow().wakes;
        Waiter { waiters: self.clone(), user, news: Some(news), registered_at }
    }

    /// Whether anyone waits for news of the user.
    pub(super) fn is_awaited(&self, user: UserId) -> bool {
        self.shard(user).contains_key(&user)
    }

    /// Wakes who waits for news of the user.
    pub(super) fn wake(&self, user: UserId, foreign: Option<Outcome>) {
        if let Some(sender) = self.shard(user).get(&user) {
            sender.send_modify(|news| {
                news.wakes += 1;
                if let Some(outcome) = foreign {
                    news.foreign = Some((news.wakes, outcome));
                }
            });
        }
    }

    /// Wakes everyone in one of the [`Waiters::PARTS`] parts, so that a caller can spread the load.
    pub(super) fn wake_part(&self, part: usize) {
        for sender in lock(&self.shards[part % SHARDS]).values() {
            sender.send_modify(|news| news.wakes += 1);
        }
    }

    /// How many parts [`Waiters::wake_part`] knows.
    pub(super) const PARTS: usize = SHARDS;

    /// How many users are waited for.
    pub(super) fn users(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, user: UserId) -> MutexGuard<'_, HashMap<UserId, watch::Sender<News>>> {
        let shard = self.hasher.hash_one(user) as usize % SHARDS;
        lock(&self.shards[shard])
    }
}

/// A panic while a shard is locked leaves its map whole: every change to it is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One waiter.
#[derive(Debug)]
pub(super) struct Waiter {
    waiters: Arc<Waiters>,
    user: UserId,
    /// `None` only while dropping.
    news: Option<watch::Receiver<News>>,
    registered_at: u64,
}

impl Waiter {
    /// Waits for a wake since the registration or the last call. Returns what another program's worker said meanwhile,
    /// if one did. Cancel safe.
    pub(super) async fn woken(&mut self) -> Option<Outcome> {
        let registered_at = self.registered_at;
        let Some(news) = &mut self.news else { return None };
        // The sender lives in the map for as long as this waiter is registered.
        news.changed().await.ok()?;
        let news = news.borrow_and_update();
        news.foreign.as_ref().filter(|(at, _)| *at > registered_at).map(|(_, outcome)| outcome.clone())
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut shard = self.waiters.shard(self.user);
        self.news = None;
        if shard.get(&self.user).is_some_and(|sender| sender.receiver_count() == 0) {
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
        assert_eq!(first.woken().now_or_never(), Some(None));
        assert_eq!(second.woken().now_or_never(), Some(None));
        assert_eq!(first.woken().now_or_never(), None);
        assert_eq!(other.woken().now_or_never(), None);
        (0..Waiters::PARTS).for_each(|part| waiters.wake_part(part));
        assert_eq!(other.woken().now_or_never(), Some(None));
    }

    #[test]
    fn a_waiter_that_goes_away_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::default());
        let first = waiters.register(user(1));
        let second = waiters.register(user(1));
        drop(first);
        assert!(waiters.is_awaited(user(1)));
        drop(second);
        assert_eq!(waiters.users(), 0);
    }

    #[test]
    fn a_foreign_message_reaches_who_waited_when_it_came_even_after_another_wake() {
        let waiters = Arc::new(Waiters::default());
        let mut before = waiters.register(user(1));
        let done = Outcome::Done { url: "/x".to_owned() };
        waiters.wake(user(1), Some(done.clone()));
        let mut after = waiters.register(user(1));
        waiters.wake(user(1), None);
        assert_eq!(before.woken().now_or_never(), Some(Some(done)));
        assert_eq!(after.woken().now_or_never(), Some(None));
    }
}
