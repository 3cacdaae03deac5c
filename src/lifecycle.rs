//! Signals, graceful shutdown, and the supervision of long-running roles.
//!
//! Owns the signal handlers of the process. SIGTERM and the first SIGINT (Ctrl-C) start the drain of every role, which
//! may take the grace period; after SIGINT, servers close all connections at once. A second SIGINT ends the wait
//! immediately. Repeated SIGTERM never shortens the drain, because supervisors send it to a whole process group; a
//! SIGINT after it counts as the first.
//!
//! SIGHUP has two meanings. The kernel sends it when the terminal is closed, and it drains like SIGTERM then, unless it
//! was ignored at the start (`nohup`). Otherwise an operator has sent it to a service, which reloads what it can and goes
//! on. A service whose terminal was closed earlier cannot tell the two apart: it drains.

mod signals;
mod terminal;

use std::error::Error;
use std::future::Future;
use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use self::signals::{Signal, Signals};
use crate::telemetry::panic_message;

/// A request to shut down, shared by all clones. It cannot be revoked.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
    urgent: CancellationToken,
}

impl Shutdown {
    /// Not requested yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests all roles to drain and end.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Requests them to drain without any delay for the sake of clients.
    pub fn request_urgently(&self) {
        self.urgent.cancel();
        self.token.cancel();
    }

    /// Waits for the request. Cancel safe.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether the shutdown was requested.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The underlying token.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Cancelled when the shutdown is urgent.
    pub fn urgent(&self) -> CancellationToken {
        self.urgent.clone()
    }
}

/// The error of a role.
pub type RoleError = Box<dyn Error + Send + Sync>;

/// A running role with its task, which ends when it has drained.
#[derive(Debug)]
pub struct Running {
    /// The name in logs and errors.
    pub name: &'static str,
    /// Ends only after the shutdown was requested, or because of an error.
    pub task: JoinHandle<Result<(), RoleError>>,
}

impl Running {
    /// Spawns a role on the current runtime.
    pub fn spawn(name: &'static str, role: impl Future<Output = Result<(), RoleError>> + Send + 'static) -> Self {
        Self { name, task: tokio::spawn(role) }
    }
}

/// An unsuccessful end of the process.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The signal handlers cannot be installed.
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    /// A role ended without a shutdown request.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
    /// A role failed.
    #[error("{name} failed")]
    Failed {
        /// The role.
        name: &'static str,
        /// The error of the role.
        source: RoleError,
    },
    /// A role panicked.
    #[error("{name} panicked: {message}")]
    Panicked {
        /// The role.
        name: &'static str,
        /// The message of the panic.
        message: String,
    },
    /// Some roles did not drain within the grace period.
    #[error("not finished within the grace period of {} s: {}", grace.as_secs_f64(), names.join(", "))]
    Unfinished {
        /// The roles.
        names: Vec<&'static str>,
        /// The grace period.
        grace: Duration,
    },
    /// A second SIGINT arrived during the drain.
    #[error("stopped by a second SIGINT; not finished: {}", names.join(", "))]
    Aborted {
        /// The roles.
        names: Vec<&'static str>,
    },
    /// A signal arrived during the start.
    #[error("stopped by a signal during the start")]
    Interrupted,
}

/// The running roles.
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

    /// Waits for the next role to end. Returns `None` if there is none. Cancel safe.
    async fn next(&mut self) -> Option<(&'static str, Result<(), LifecycleError>)> {
        let (name, end) = self.ends.next().await?;
        if let Some(at) = self.left.iter().position(|(left, _)| *left == name) {
            self.left.remove(at);
        }
        Some((name, outcome(name, end)))
    }

    /// Aborts the running roles, and returns their names.
    fn abort(self) -> Vec<&'static str> {
        self.left.iter().for_each(|(_, task)| task.abort());
        let names: Vec<_> = self.left.into_iter().map(|(name, _)| name).collect();
        tracing::warn!(roles = names.join(", "), "aborting roles that have not finished");
        names
    }
}

fn outcome(name: &'static str, end: End) -> Result<(), LifecycleError> {
    match end {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(LifecycleError::Failed { name, source }),
        Err(error) => match error.try_into_panic() {
            Ok(payload) => Err(LifecycleError::Panicked { name, message: panic_message(&*payload).to_owned() }),
            Err(_aborted) => Err(LifecycleError::Ended(name)),
        },
    }
}

/// Waits for a signal, a shutdown request, or the unexpected end of a role. Then requests the shutdown, and waits at
/// most `grace` for all roles. Until then, notifies `reload` at each [`Signal::Reload`]; without it, there is nothing to
/// reload.
///
/// # Errors
/// If a role ended unexpectedly, failed or panicked (further ones are logged), or if some have not ended after `grace`
/// or at a second SIGINT. Their tasks are aborted then. The process must exit next, because work on other threads may
/// continue.
pub async fn supervise(
    roles: Vec<Running>,
    mut signals: Signals,
    reload: Option<&Notify>,
    shutdown: &Shutdown,
    grace: Duration,
) -> Result<(), LifecycleError> {
    let mut roles = Roles::new(roles);
    let mut interrupts = 0;
    let mut outcome = Ok(());
    tokio::select! {
        signal = next_but_reload(&mut signals, reload) => {
            interrupts += u32::from(signal == Signal::Interrupt);
            tracing::info!(%signal, grace_s = grace.as_secs_f64(), "received a signal, draining");
            request(shutdown, signal);
        }
        () = shutdown.requested() => tracing::info!(grace_s = grace.as_secs_f64(), "shutting down, draining"),
        Some((name, end)) = roles.next() => {
            let requested = shutdown.is_requested();
            outcome = end.and_then(|()| if requested { Ok(()) } else { Err(LifecycleError::Ended(name)) });
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
                Some((_, Err(error))) => tracing::error!(error = &error as &dyn Error, "another role failed"),
            },
            signal = signals.next() => {
                interrupts += u32::from(signal == Signal::Interrupt);
                if interrupts >= 2 {
                    return outcome.and(Err(LifecycleError::Aborted { names: roles.abort() }));
                }
                tracing::info!(%signal, "still draining");
                request(shutdown, signal);
            }
            () = sleep_until(deadline) => {
                return outcome.and(Err(LifecycleError::Unfinished { names: roles.abort(), grace }));
            }
        }
    }
}

/// Ctrl-C is urgent: the person who pressed it waits for the end.
fn request(shutdown: &Shutdown, signal: Signal) {
    match signal {
        Signal::Interrupt => shutdown.request_urgently(),
        Signal::Terminate | Signal::HangUp => shutdown.request(),
        // In the drain, which has been requested.
        Signal::Reload => {}
    }
}

/// The next signal that ends the process. Requests a reload at those that do not. Cancel safe.
async fn next_but_reload(signals: &mut Signals, reload: Option<&Notify>) -> Signal {
    loop {
        match (signals.next().await, reload) {
            (Signal::Reload, Some(reload)) => {
                tracing::info!(signal = %Signal::Reload, "received a signal, reloading");
                reload.notify_one();
            }
            (Signal::Reload, None) => {
                tracing::info!(signal = %Signal::Reload, "received a signal; there is nothing to reload");
            }
            (signal, _) => return signal,
        }
    }
}

#[cfg(test)]
mod tests;
