//! The bus against a Redis that starts late, restarts, rejects commands or sends too much.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use m3a3::bus::{self, Bus, BusError, BusTask, Received, Recorder, Signal, Subscription};
use m3a3::events::{Event, Finished, ImageUploaded, Outcome};
use m3a3::ids::{ImagePath, UserId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::harness::journal::Journal;
use crate::harness::redis::TestRedis;
use crate::harness::{until, within};

struct Running {
    bus: Bus,
    task: BusTask,
    shutdown: CancellationToken,
}

impl Running {
    fn start(url: &str) -> Self {
        let shutdown = CancellationToken::new();
        let (bus, task) = Bus::start(url, shutdown.clone()).expect("a usable URL");
        Self { bus, task, shutdown }
    }

    async fn connected(redis: &TestRedis) -> Self {
        let running = Self::start(&redis.url());
        until("connecting", || running.bus.is_connected()).await;
        running
    }

    async fn stop(self) {
        self.shutdown.cancel();
        within("the end of the bus", self.task.finished()).await;
    }
}

fn uploaded(user: i64) -> ImageUploaded {
    ImageUploaded { user_id: UserId::new(user).unwrap(), image_path: ImagePath::new("a.jpg").unwrap(), job_id: None }
}

fn finished(user: i64) -> Finished {
    let outcome = Outcome::Done { url: format!("/thumbnails/{user}.jpg") };
    Finished { user_id: UserId::new(user).unwrap(), job_id: None, outcome }
}

async fn next<E: Event>(subscription: &mut Subscription<E>) -> Signal<E> {
    within("a signal", subscription.next()).await.expect("the bus runs")
}

/// The next event, after any resyncs.
async fn next_event<E: Event>(subscription: &mut Subscription<E>) -> E {
    loop {
        if let Signal::Event(event) = next(subscription).await {
            return event;
        }
    }
}

async fn resynced<E: Event>(subscription: &mut Subscription<E>) {
    while !matches!(next(subscription).await, Signal::Resync) {}
}

/// Publishes an arbitrary payload.
async fn publish_raw(redis: &TestRedis, channel: &str, payload: &[u8]) {
    let mut stream = TcpStream::connect(redis.address()).await.unwrap();
    let mut request = format!("*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), payload.len());
    request.push_str(&String::from_utf8_lossy(payload));
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 1];
    within("the reply to PUBLISH", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b":");
}

#[tokio::test]
async fn an_event_is_received_as_published() {
    let redis = TestRedis::start().await;
    let running = Running::connected(&redis).await;
    let mut subscription = running.bus.subscribe::<ImageUploaded>();
    assert_eq!(next(&mut subscription).await, Signal::Resync);
    running.bus.publish(&uploaded(1));
    running.bus.publish(&uploaded(2));
    assert_eq!(next(&mut subscription).await, Signal::Event(uploaded(1)));
    assert_eq!(next(&mut subscription).await, Signal::Event(uploaded(2)));
    running.stop().await;
    assert_eq!(subscription.next().await, None);
}

#[tokio::test]
async fn a_prefix_topic_receives_the_messages_of_all_its_channels_and_no_others() {
    let redis = TestRedis::start().await;
    let running = Running::connected(&redis).await;
    let mut subscription = running.bus.subscribe::<Finished>();
    assert_eq!(next(&mut subscription).await, Signal::Resync);
    running.bus.publish(&uploaded(9));
    for user in [1, 2, UserId::MAX] {
        running.bus.publish(&finished(user));
        assert_eq!(next(&mut subscription).await, Signal::Event(finished(user)));
    }
    running.stop().await;
}

#[tokio::test]
async fn malformed_messages_are_logged_once_and_dropped_and_the_next_valid_one_is_received() {
    let journal = Journal::start();
    let redis = TestRedis::start().await;
    let running = Running::connected(&redis).await;
    let mut images = running.bus.subscribe::<ImageUploaded>();
    let mut other_reader = running.bus.subscribe::<ImageUploaded>();
    let mut results = running.bus.subscribe::<Finished>();
    assert_eq!(next(&mut images).await, Signal::Resync);
    assert_eq!(next(&mut other_reader).await, Signal::Resync);
    assert_eq!(next(&mut results).await, Signal::Resync);
    for payload in [&b""[..], b"null", b"{\"userId\":1", b"\"OK\"", b"QUEUED", b"\xff\xfe", b"{\"userId\":\"1\"}"] {
        publish_raw(&redis, "image_uploaded", payload).await;
        publish_raw(&redis, "finished:x", payload).await;
    }
    running.bus.publish(&uploaded(1));
    running.bus.publish(&finished(1));
    assert_eq!(next(&mut images).await, Signal::Event(uploaded(1)));
    assert_eq!(next(&mut other_reader).await, Signal::Event(uploaded(1)));
    assert_eq!(next(&mut results).await, Signal::Event(finished(1)));
    assert_eq!(journal.lines_with(&["malformed", "image_uploaded"]).len(), 1);
    assert_eq!(journal.lines_with(&["malformed", "finished:x"]).len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_restart_of_redis_causes_a_resync_and_events_are_received_again() {
    let mut redis = TestRedis::start().await;
    let running = Running::connected(&redis).await;
    let mut images = running.bus.subscribe::<ImageUploaded>();
    let mut results = running.bus.subscribe::<Finished>();
    assert_eq!(next(&mut images).await, Signal::Resync);
    assert_eq!(next(&mut results).await, Signal::Resync);
    for round in 1..=3 {
        redis.kill().await;
        until("detecting the disconnect", || !running.bus.is_connected()).await;
        redis.restart_empty().await;
        resynced(&mut images).await;
        resynced(&mut results).await;
        until("reconnecting", || running.bus.is_connected()).await;
        running.bus.publish(&uploaded(round));
        running.bus.publish(&finished(round));
        assert_eq!(next_event(&mut images).await, uploaded(round));
        assert_eq!(next_event(&mut results).await, finished(round));
    }
    running.stop().await;
}

#[tokio::test]
async fn a_bus_that_started_before_redis_works_once_redis_is_up() {
    let mut redis = TestRedis::down();
    let running = Running::start(&redis.url());
    let mut subscription = running.bus.subscribe::<ImageUploaded>();
    running.bus.publish(&uploaded(1));
    until("dropping a message", || running.bus.dropped() == 1).await;
    assert!(!running.bus.is_connected());
    assert!(matches!(running.bus.ping().await, Err(BusError::Disconnected)));

    redis.restart_empty().await;
    assert_eq!(next(&mut subscription).await, Signal::Resync);
    until("connecting", || running.bus.is_connected()).await;
    running.bus.publish(&uploaded(2));
    assert_eq!(next(&mut subscription).await, Signal::Event(uploaded(2)));
    assert!(running.bus.ping().await.is_ok());
    running.stop().await;
}

#[tokio::test]
async fn publishing_without_redis_neither_waits_nor_fails() {
    let redis = TestRedis::down();
    let running = Running::start(&redis.url());
    // More than the capacity of the queue: a blocking publish would hang here, on the only thread.
    for user in 1..=20_000 {
        running.bus.publish(&uploaded(user));
    }
    until("dropping everything", || running.bus.dropped() == 20_000).await;
    running.stop().await;
}

#[tokio::test]
async fn messages_right_after_the_start_and_right_before_the_shutdown_are_sent() {
    let redis = TestRedis::start().await;
    let listener = Running::connected(&redis).await;
    let mut subscription = listener.bus.subscribe::<ImageUploaded>();
    assert_eq!(next(&mut subscription).await, Signal::Resync);
    let short = Running::start(&redis.url());
    short.bus.publish(&uploaded(1));
    short.stop().await;
    assert_eq!(next(&mut subscription).await, Signal::Event(uploaded(1)));
    listener.stop().await;
}

#[tokio::test]
async fn a_slow_subscriber_gets_a_resync() {
    let redis = TestRedis::start().await;
    let running = Running::connected(&redis).await;
    let mut slow = running.bus.subscribe::<ImageUploaded>();
    let mut quick = running.bus.subscribe::<ImageUploaded>();
    assert_eq!(next(&mut slow).await, Signal::Resync);
    assert_eq!(next(&mut quick).await, Signal::Resync);
    const MESSAGES: i64 = 6000;
    for user in 1..=MESSAGES {
        running.bus.publish(&uploaded(user));
        if user % 100 == 0 {
            while next_event(&mut quick).await.user_id.get() < user {}
        }
    }
    assert_eq!(next(&mut slow).await, Signal::Resync);
    assert!(matches!(next(&mut slow).await, Signal::Event(_)));
    while next_event(&mut slow).await.user_id.get() < MESSAGES {}
    running.stop().await;
}

#[tokio::test]
async fn two_processes_receive_their_own_messages_and_those_of_the_other() {
    let redis = TestRedis::start().await;
    let (one, two) = (Running::connected(&redis).await, Running::connected(&redis).await);
    let (mut received_by_one, mut received_by_two) = (one.bus.subscribe::<Finished>(), two.bus.subscribe::<Finished>());
    assert_eq!(next(&mut received_by_one).await, Signal::Resync);
    assert_eq!(next(&mut received_by_two).await, Signal::Resync);
    for (sender, user) in [(&one, 1), (&two, 2)] {
        sender.bus.publish(&finished(user));
        assert_eq!(next(&mut received_by_one).await, Signal::Event(finished(user)));
        assert_eq!(next(&mut received_by_two).await, Signal::Event(finished(user)));
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_later_subscriber_to_an_active_topic_gets_a_resync_immediately() {
    let redis = TestRedis::start().await;
    let running = Running::connected(&redis).await;
    let mut first = running.bus.subscribe::<Finished>();
    assert_eq!(next(&mut first).await, Signal::Resync);
    let mut second = running.bus.clone().subscribe::<Finished>();
    assert_eq!(next(&mut second).await, Signal::Resync);
    running.bus.publish(&finished(1));
    assert_eq!(next(&mut first).await, Signal::Event(finished(1)));
    assert_eq!(next(&mut second).await, Signal::Event(finished(1)));
    running.stop().await;
}

#[tokio::test]
async fn only_the_right_password_connects() {
    let journal = Journal::start();
    let redis = TestRedis::with_password("right").await;
    let running = Running::connected(&redis).await;
    assert!(running.bus.ping().await.is_ok());
    for url in [redis.url_with("wrong"), redis.url_with("")] {
        let refused = Running::start(&url);
        refused.bus.publish(&uploaded(1));
        // The message is dropped only after a failed attempt.
        until("rejecting the password", || refused.bus.dropped() == 1).await;
        assert!(!refused.bus.is_connected());
        refused.stop().await;
    }
    running.stop().await;
    // Once for each connection, despite many attempts.
    assert_eq!(journal.lines_with(&["ERROR", "Redis rejects the user or the password", "commands"]).len(), 2);
    assert!(journal.lines_with(&["wrong"]).is_empty(), "the password is in the log");
}

#[tokio::test]
async fn ten_thousand_events_are_received_or_replaced_by_a_resync() {
    let redis = TestRedis::start().await;
    let (sender, receiver) = (Running::connected(&redis).await, Running::connected(&redis).await);
    let mut subscription = receiver.bus.subscribe::<ImageUploaded>();
    assert_eq!(next(&mut subscription).await, Signal::Resync);
    const EVENTS: i64 = 10_000;
    let bus = sender.bus.clone();
    // Another thread with its own runtime, like the workers of actix.
    let publishing = std::thread::spawn(move || {
        for user in 1..=EVENTS {
            bus.publish(&uploaded(user));
        }
    });
    let (mut arrived, mut resynced, mut last) = (0, false, 0);
    // Only older messages may be lost.
    while last < EVENTS {
        match next(&mut subscription).await {
            Signal::Event(event) => {
                assert!(event.user_id.get() > last, "events arrive in order");
                last = event.user_id.get();
                arrived += 1;
            }
            Signal::Resync => resynced = true,
        }
    }
    publishing.join().unwrap();
    assert_eq!(sender.bus.dropped(), 0);
    assert!(resynced || arrived == EVENTS, "{arrived} arrived, without a resync");
    sender.stop().await;
    receiver.stop().await;
}

#[tokio::test]
async fn a_bus_can_be_used_from_another_runtime() {
    let redis = TestRedis::start().await;
    let running = Running::connected(&redis).await;
    let mut subscription = running.bus.subscribe::<Finished>();
    assert_eq!(next(&mut subscription).await, Signal::Resync);
    let bus = running.bus.clone();
    let elsewhere = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut subscription = bus.subscribe::<Finished>();
            assert_eq!(next(&mut subscription).await, Signal::Resync);
            bus.publish(&finished(1));
            assert!(bus.ping().await.is_ok());
            next(&mut subscription).await
        })
    });
    assert_eq!(elsewhere.await.unwrap(), Signal::Event(finished(1)));
    assert_eq!(next(&mut subscription).await, Signal::Event(finished(1)));
    running.stop().await;
}

/// Records users one at a time, if allowed.
#[derive(Clone, Default)]
struct Ledger {
    is_open: Arc<AtomicBool>,
    attempts: Arc<AtomicU64>,
    recorded: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
}

impl Recorder for Ledger {
    type Event = ImageUploaded;
    type Error = &'static str;

    fn accepts(message: &ImageUploaded) -> bool {
        message.user_id.get() != 7
    }

    async fn record(&mut self, waiting: &mut VecDeque<Received<ImageUploaded>>) -> Result<(), &'static str> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        if !self.is_open.load(Ordering::Relaxed) {
            return Err("database is locked");
        }
        waiting.pop_front();
        self.recorded.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Ledger {
    /// Starts recording the messages of a bus, and waits for the first signal.
    async fn start(&self, running: &Running) -> (tokio::task::JoinHandle<()>, CancellationToken) {
        let (stop, received) = (CancellationToken::new(), self.received.clone());
        let ring = move || {
            received.fetch_add(1, Ordering::Relaxed);
        };
        let task = tokio::spawn(bus::record(running.bus.subscribe(), self.clone(), ring, stop.clone()));
        self.until_received(1).await;
        (task, stop)
    }

    async fn until_received(&self, signals: u64) {
        until("receiving the messages", || self.received.load(Ordering::Relaxed) >= signals).await;
    }
}

#[tokio::test]
async fn messages_wait_until_they_can_be_recorded() {
    let journal = Journal::start();
    let redis = TestRedis::start().await;
    let running = Running::connected(&redis).await;
    let ledger = Ledger::default();
    let (task, stop) = ledger.start(&running).await;
    for user in 1..=10 {
        running.bus.publish(&uploaded(user));
    }
    until("two attempts", || ledger.attempts.load(Ordering::Relaxed) >= 2).await;
    ledger.is_open.store(true, Ordering::Relaxed);
    until("recording", || ledger.recorded.load(Ordering::Relaxed) == 9).await;
    assert_eq!(journal.lines_with(&["cannot record", "database is locked"]).len(), 1);
    stop.cancel();
    within("the end", task).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn messages_in_the_buffer_at_the_shutdown_are_recorded_or_counted_as_lost() {
    for is_open in [true, false] {
        let journal = Journal::start();
        let redis = TestRedis::start().await;
        let running = Running::connected(&redis).await;
        let ledger = Ledger::default();
        let (task, stop) = ledger.start(&running).await;
        for user in 11..=15 {
            running.bus.publish(&uploaded(user));
        }
        ledger.until_received(6).await;
        ledger.is_open.store(is_open, Ordering::Relaxed);
        stop.cancel();
        within("the end", task).await.unwrap();
        assert_eq!(ledger.recorded.load(Ordering::Relaxed), if is_open { 5 } else { 0 });
        assert_eq!(journal.lines_with(&["lost messages", "lost=5"]).len(), usize::from(!is_open));
        running.stop().await;
    }
}

#[tokio::test]
async fn messages_that_do_not_fit_into_the_buffer_are_counted_in_the_log() {
    let journal = Journal::start();
    let redis = TestRedis::start().await;
    let running = Running::connected(&redis).await;
    let ledger = Ledger::default();
    let (task, stop) = ledger.start(&running).await;
    // Twice the capacity of the buffer, and never more at once than the capacity of the subscription.
    const MESSAGES: u64 = 2 * 16_384 + 1000;
    for sent in 1..=MESSAGES {
        running.bus.publish(&uploaded(100));
        if sent % 1000 == 0 {
            ledger.until_received(1 + sent).await;
        }
    }
    ledger.until_received(1 + MESSAGES).await;
    stop.cancel();
    within("the end", task).await.unwrap();
    let lines = journal.lines_with(&["lost messages"]);
    let counts = lines.iter().map(|line| line.rsplit_once("lost=").unwrap().1);
    let counts = counts.map(|count| count.split(' ').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(counts.sum::<u64>(), MESSAGES, "{lines:?}");
    running.stop().await;
}
