use std::future::pending;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

fn drains(name: &'static str, shutdown: &Shutdown) -> Running {
    let shutdown = shutdown.clone();
    Running::spawn(name, async move {
        shutdown.requested().await;
        Ok(())
    })
}

/// A running supervision, and the sender of its signals.
struct Supervision {
    signals: mpsc::Sender<Signal>,
    reload: Arc<Notify>,
    task: JoinHandle<Result<(), LifecycleError>>,
}

impl Supervision {
    fn start(roles: Vec<Running>, shutdown: &Shutdown, grace: Duration) -> Self {
        let (signals, received) = mpsc::channel(8);
        let shutdown = shutdown.clone();
        let signals_of = Signals::from_channel(received);
        let reload = Arc::new(Notify::new());
        let requested = Arc::clone(&reload);
        let task = tokio::spawn(async move { supervise(roles, signals_of, Some(&requested), &shutdown, grace).await });
        Self { signals, reload, task }
    }

    async fn send(&self, signal: Signal) {
        self.signals.send(signal).await.unwrap();
    }

    async fn error(self) -> String {
        self.task.await.unwrap().unwrap_err().to_string()
    }
}

#[tokio::test]
async fn each_signal_drains_every_role() {
    for signal in [Signal::Interrupt, Signal::Terminate, Signal::HangUp] {
        let shutdown = Shutdown::new();
        let roles = vec![drains("api server", &shutdown), drains("thumbnail worker", &shutdown)];
        let supervision = Supervision::start(roles, &shutdown, LONG);
        supervision.send(signal).await;
        assert!(supervision.task.await.unwrap().is_ok(), "{signal:?}");
        assert!(shutdown.is_requested());
    }
}

#[tokio::test]
async fn a_reload_drains_no_role() {
    let shutdown = Shutdown::new();
    let supervision = Supervision::start(vec![drains("api server", &shutdown)], &shutdown, LONG);
    for _ in 0..2 {
        supervision.send(Signal::Reload).await;
        supervision.reload.notified().await;
    }
    assert!(!shutdown.is_requested());
    supervision.send(Signal::Terminate).await;
    supervision.send(Signal::Reload).await;
    assert!(supervision.task.await.unwrap().is_ok());
}

#[tokio::test]
async fn a_shutdown_that_a_role_requests_is_no_error() {
    let shutdown = Shutdown::new();
    let supervision = Supervision::start(vec![drains("api server", &shutdown)], &shutdown, LONG);
    shutdown.request();
    assert!(supervision.task.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn roles_that_do_not_drain_within_the_grace_period_are_named_and_aborted() {
    let shutdown = Shutdown::new();
    let stuck = Running::spawn("thumbnail worker", pending());
    let handle = stuck.task.abort_handle();
    let supervision = Supervision::start(vec![drains("api server", &shutdown), stuck], &shutdown, LONG);
    supervision.send(Signal::Terminate).await;
    assert_eq!(supervision.error().await, "not finished within the grace period of 3600 s: thumbnail worker");
    while !handle.is_finished() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_second_sigint_stops_at_once() {
    let shutdown = Shutdown::new();
    let supervision = Supervision::start(vec![Running::spawn("api server", pending())], &shutdown, LONG);
    supervision.send(Signal::Interrupt).await;
    shutdown.requested().await;
    supervision.send(Signal::Interrupt).await;
    assert_eq!(supervision.error().await, "stopped by a second SIGINT; not finished: api server");
}

#[tokio::test(start_paused = true)]
async fn repeated_sigterm_and_one_sigint_after_it_do_not_shorten_the_drain() {
    let shutdown = Shutdown::new();
    let role = {
        let shutdown = shutdown.clone();
        Running::spawn("api server", async move {
            shutdown.requested().await;
            tokio::time::sleep(LONG / 2).await;
            Ok(())
        })
    };
    let supervision = Supervision::start(vec![role], &shutdown, LONG);
    for signal in [Signal::Terminate, Signal::Terminate, Signal::HangUp, Signal::Interrupt, Signal::Terminate] {
        supervision.send(signal).await;
    }
    let begun = Instant::now();
    assert!(supervision.task.await.unwrap().is_ok());
    assert_eq!(begun.elapsed(), LONG / 2);
}

#[tokio::test]
async fn a_role_that_ends_unexpectedly_is_an_error_and_drains_the_others() {
    let shutdown = Shutdown::new();
    let roles = vec![drains("api server", &shutdown), Running::spawn("thumbnail worker", async { Ok(()) })];
    let supervision = Supervision::start(roles, &shutdown, LONG);
    assert_eq!(supervision.error().await, "thumbnail worker ended unexpectedly");
    assert!(shutdown.is_requested());
}

#[tokio::test]
async fn a_role_that_fails_is_named_with_its_cause() {
    let shutdown = Shutdown::new();
    let failing = Running::spawn("api server", async { Err("the disk is gone".into()) });
    let supervision = Supervision::start(vec![failing, drains("other", &shutdown)], &shutdown, LONG);
    let error = supervision.task.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "api server failed");
    assert_eq!(std::error::Error::source(&error).map(ToString::to_string), Some("the disk is gone".to_owned()));
}

#[tokio::test]
async fn a_role_that_fails_while_draining_is_an_error_too() {
    let shutdown = Shutdown::new();
    let role = {
        let shutdown = shutdown.clone();
        Running::spawn("api server", async move {
            shutdown.requested().await;
            Err("the last write failed".into())
        })
    };
    let supervision = Supervision::start(vec![role], &shutdown, LONG);
    supervision.send(Signal::Terminate).await;
    assert_eq!(supervision.error().await, "api server failed");
}

#[tokio::test]
async fn a_panic_in_a_role_is_reported() {
    let shutdown = Shutdown::new();
    let supervision =
        Supervision::start(vec![Running::spawn("api server", async { panic!("no way out") })], &shutdown, LONG);
    assert_eq!(supervision.error().await, "api server panicked: no way out");
}

#[tokio::test]
async fn a_signal_ends_a_hanging_start() {
    let (sender, received) = mpsc::channel(8);
    let mut signals = Signals::from_channel(received);
    assert!(matches!(signals.while_starting(async { 1 }).await, Ok(1)));
    sender.send(Signal::Terminate).await.unwrap();
    assert!(matches!(signals.while_starting(pending::<()>()).await, Err(LifecycleError::Interrupted)));
}

#[tokio::test]
async fn signals_of_the_system_arrive_once_the_handlers_are_installed() {
    use rustix::process::{Signal as Unix, getpid, kill_process};

    let mut installed = Signals::install().unwrap();
    let mut expected = vec![(Unix::INT, Signal::Interrupt), (Unix::TERM, Signal::Terminate)];
    if !signals::hangup_is_ignored() {
        expected.push((Unix::HUP, Signal::HangUp));
    }
    for (sent, expected) in expected {
        kill_process(getpid(), sent).unwrap();
        assert_eq!(installed.next().await, expected);
    }
    drop(installed);

    // No terminal is closed while the tests run.
    let mut service = Signals::install_for_service().unwrap();
    kill_process(getpid(), Unix::HUP).unwrap();
    assert_eq!(service.next().await, Signal::Reload);
}
