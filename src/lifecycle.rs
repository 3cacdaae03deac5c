//! Starting and ending: signals, the shutdown that everybody hears of, and the wait for the long-running roles.
//!
//! Owns the process's signal handlers. SIGTERM and the first SIGINT (Ctrl-C) ask every role to drain, which may take the
//! grace period; so does SIGHUP, a terminal that goes away, unless it was ignored from the start (`nohup`). A second
//! SIGINT ends the wait at once. SIGTERM may come as often as it likes: supervisors send it to a whole group, and it
//! never shortens the drain; a SIGINT after it counts as the first.

use std::error::Error;
use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::telemetry::panic_message;

/// The request to end, heard by everyone who holds a clone. It is never taken back.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A shutdown that nobody has requested yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone to drain and end.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Waits until the end is requested; at once if it has been. Cancel safe.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether the end has been requested.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The token behind it, for what wants one.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

/// Why a role ended badly.
pub type RoleError = Box<dyn Error + Send + Sync>;

/// A long-running role: its name, and the task that ends when it has drained.
#[derive(Debug)]
pub struct Running {
    /// What the role is called in logs and errors.
    pub name: &'static str,
    /// The task; it ends only after the shutdown was requested, or because something is wrong.
    pub task: JoinHandle<Result<(), RoleError>>,
}

impl Running {
    /// Spawns a role on the current runtime.
    pub fn spawn(name: &'static str, role: impl Future<Output = Result<(), RoleError>> + Send + 'static) -> Self {
        Self { name, task: tokio::spawn(role) }
    }
}

/// Why a process ends badly.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The signal handlers cannot be installed.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// A role ended although nobody asked it to.
    #[error("{0} ended by itself")]
    Ended(&'static str),
    /// A role failed.
    #[error("{name} failed")]
    Failed {
        /// The role.
        name: &'static str,
        /// What it said.
        source: RoleError,
    },
    /// A role panicked.
    #[error("{name} panicked: {message}")]
    Panicked {
        /// The role.
        name: &'static str,
        /// What the panic said.
        message: String,
    },
    /// Some roles did not drain within the grace period.
    #[error("not finished within {grace:?} of the request to stop: {}", names.join(", "))]
    Unfinished {
        /// The roles.
        names: Vec<&'static str>,
        /// How long they had.
        grace: Duration,
    },
    /// A second SIGINT came while roles were draining.
    #[error("stopped by a second SIGINT; not finished: {}", names.join(", "))]
    Aborted {
        /// The roles.
        names: Vec<&'static str>,
    },
    /// A signal came before everything had started.
    #[error("stopped by a signal while starting")]
    Interrupted,
}

/// A signal that asks the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal went away.
    HangUp,
}

/// Where signals come from.
#[derive(Debug)]
pub struct Signals {
    received: mpsc::Receiver<Signal>,
    /// What puts the system's signals into the channel; it ends when this is dropped.
    _listeners: JoinSet<()>,
}

impl Signals {
    /// Installs the process's handlers. Do this before the first listener opens: until then a signal kills at once.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install() -> Result<Self, LifecycleError> {
        let (sender, received) = mpsc::channel(8);
        let mut kinds =
            vec![(SignalKind::interrupt(), Signal::Interrupt), (SignalKind::terminate(), Signal::Terminate)];
        if !hangup_is_ignored() {
            kinds.push((SignalKind::hangup(), Signal::HangUp));
        }
        let mut listeners = JoinSet::new();
        for (kind, name) in kinds {
            let mut stream = signal(kind).map_err(LifecycleError::Signals)?;
            let sender = sender.clone();
            listeners.spawn(async move { while stream.recv().await.is_some() && sender.send(name).await.is_ok() {} });
        }
        Ok(Self { received, _listeners: listeners })
    }

    /// Signals from a channel instead of the system.
    pub fn from_channel(received: mpsc::Receiver<Signal>) -> Self {
        Self { received, _listeners: JoinSet::new() }
    }

    /// Waits for the first of the two: what starts, or a signal, which drops it.
    ///
    /// # Errors
    /// [`LifecycleError::Interrupted`] when the signal came first.
    pub async fn while_starting<T>(&mut self, start: impl Future<Output = T>) -> Result<T, LifecycleError> {
        tokio::select! {
            biased;
            _ = self.next() => Err(LifecycleError::Interrupted),
            started = start => Ok(started),
        }
    }

    /// The next signal; never, once the channel it came from is closed. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        match self.received.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// Whether the process was started with SIGHUP ignored, which a handler would undo. Where that cannot be known, yes:
/// the signal then does what it did before.
fn hangup_is_ignored() -> bool {
    const SIGHUP_BIT: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & SIGHUP_BIT != 0)
}

/// The roles that have not ended yet.
struct Roles {
    ends: FuturesUnordered<BoxFuture<'static, (&'static str, End)>>,
    left: Vec<(&'static str, AbortHandle)>,
}

type End = Result<Result<(), RoleError>, JoinError>;

impl Roles {
    fn new(roles: Vec<Running>) -> Self {
        let left = roles.iter().map(|role| (role.name, role.task.abort_handle())).collect();
        let ends = roles.into_iter().map(|Running { name, task }| async move { (name, task.await) }.boxed());
        Self { ends: ends.collect(), left }
    }

    /// The next role that ends; `None` when there is none left. Cancel safe.
    async fn next(&mut self) -> Option<(&'static str, Result<(), LifecycleError>)> {
        let (name, end) = self.ends.next().await?;
        if let Some(at) = self.left.iter().position(|(left, _)| *left == name) {
            self.left.remove(at);
        }
        Some((name, judge(name, end)))
    }

    /// Gives up on what has not ended, and names it.
    fn abort(self) -> Vec<&'static str> {
        self.left.iter().for_each(|(_, task)| task.abort());
        let names: Vec<_> = self.left.into_iter().map(|(name, _)| name).collect();
        tracing::warn!(roles = names.join(", "), "stopping without waiting for what has not finished");
        names
    }
}

fn judge(name: &'static str, end: End) -> Result<(), LifecycleError> {
    match end {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(LifecycleError::Failed { name, source }),
        Err(error) => match error.try_into_panic() {
            Ok(payload) => Err(LifecycleError::Panicked { name, message: panic_message(&*payload).to_owned() }),
            Err(_aborted) => Err(LifecycleError::Ended(name)),
        },
    }
}

/// Runs until a signal, until the shutdown is requested, or until a role ends by itself; then requests the shutdown and
/// waits for all roles, at most `grace`.
///
/// # Errors
/// When a role ended before it was asked to, failed or panicked (the first that did; further ones are logged), or when
/// some had not ended after `grace` or at a second SIGINT; their tasks are aborted then. The process must end next, since
/// work on other threads may still be going on.
pub async fn supervise(
    roles: Vec<Running>,
    mut signals: Signals,
    shutdown: &Shutdown,
    grace: Duration,
) -> Result<(), LifecycleError> {
    let mut roles = Roles::new(roles);
    let mut interrupts = 0;
    let mut outcome = Ok(());
    tokio::select! {
        signal = signals.next() => {
            interrupts += u32::from(signal == Signal::Interrupt);
            tracing::info!(?signal, ?grace, "asked to stop, draining");
        }
        () = shutdown.requested() => tracing::info!(?grace, "stopping, draining"),
        Some((name, end)) = roles.next() => {
            let asked = shutdown.is_requested();
            outcome = end.and_then(|()| if asked { Ok(()) } else { Err(LifecycleError::Ended(name)) });
        }
        else => {}
    }
    shutdown.request();

    let deadline = Instant::now() + grace;
    loop {
        tokio::select! {
            biased;
            end = roles.next() => match end {
                None => return outcome,
                Some((role, Ok(()))) => tracing::debug!(role, "drained"),
                Some((_, Err(error))) if outcome.is_ok() => outcome = Err(error),
                Some((_, Err(error))) => tracing::error!(error = &error as &dyn Error, "a further role failed"),
            },
            signal = signals.next() => {
                interrupts += u32::from(signal == Signal::Interrupt);
                if interrupts >= 2 {
                    return outcome.and(Err(LifecycleError::Aborted { names: roles.abort() }));
                }
                tracing::info!(?signal, "still draining");
            }
            () = sleep_until(deadline) => {
                return outcome.and(Err(LifecycleError::Unfinished { names: roles.abort(), grace }));
            }
        }
    }
}

#[cfg(test)]
mod tests;
