//! The signals of a process.

use std::fmt;
use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::LifecycleError;
use super::terminal::Terminal;

/// A signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, for example by Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal was closed.
    HangUp,
    /// SIGHUP of a service whose terminal was not closed.
    Reload,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::HangUp | Self::Reload => "SIGHUP",
        })
    }
}

/// The source of signals.
#[derive(Debug)]
pub struct Signals {
    received: mpsc::Receiver<Signal>,
    /// Forward the signals of the system to the channel, until dropped.
    _listeners: JoinSet<()>,
}

impl Signals {
    /// Installs the signal handlers of a command. Call this before the first work: until then a signal kills the
    /// process. SIGHUP keeps being ignored if it was ignored at the start.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    pub fn install() -> Result<Self, LifecycleError> {
        let on_hangup = if hangup_is_ignored() { None } else { Some(|| Signal::HangUp) };
        Self::listen(on_hangup)
    }

    /// Installs the signal handlers of a service, for which SIGHUP means [`Signal::HangUp`] if its terminal was closed,
    /// and [`Signal::Reload`] otherwise, also if it was ignored at the start. Call this before opening the first
    /// listener: until then a signal kills the process.
    ///
    /// # Errors
    /// If a handler cannot be installed.
    pub fn install_for_service() -> Result<Self, LifecycleError> {
        // `nohup` is for processes that outlive their terminal.
        let terminal = if hangup_is_ignored() { None } else { Terminal::open() };
        Self::listen(Some(move || match &terminal {
            Some(terminal) if terminal.is_closed() => Signal::HangUp,
            _ => Signal::Reload,
        }))
    }

    fn listen(on_hangup: Option<impl Fn() -> Signal + Send + 'static>) -> Result<Self, LifecycleError> {
        let (sender, received) = mpsc::channel(8);
        let mut listeners = JoinSet::new();
        let mut forward = |kind, name: Box<dyn Fn() -> Signal + Send>| {
            let mut stream = signal(kind).map_err(LifecycleError::Signals)?;
            let sender = sender.clone();
            listeners.spawn(async move { while stream.recv().await.is_some() && sender.send(name()).await.is_ok() {} });
            Ok(())
        };
        forward(SignalKind::interrupt(), Box::new(|| Signal::Interrupt))?;
        forward(SignalKind::terminate(), Box::new(|| Signal::Terminate))?;
        if let Some(on_hangup) = on_hangup {
            forward(SignalKind::hangup(), Box::new(on_hangup))?;
        }
        Ok(Self { received, _listeners: listeners })
    }

    /// Signals from a channel instead of the system.
    pub fn from_channel(received: mpsc::Receiver<Signal>) -> Self {
        Self { received, _listeners: JoinSet::new() }
    }

    /// Waits for `start`, or drops it at the first signal.
    ///
    /// # Errors
    /// [`LifecycleError::Interrupted`] after a signal.
    pub async fn while_starting<T>(&mut self, start: impl Future<Output = T>) -> Result<T, LifecycleError> {
        tokio::select! {
            biased;
            _ = self.next() => Err(LifecycleError::Interrupted),
            started = start => Ok(started),
        }
    }

    /// The next signal. Never returns once the channel is closed. Cancel safe.
    pub async fn next(&mut self) -> Signal {
        match self.received.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

/// Whether the process was started with SIGHUP ignored, which a handler would override. Returns true if that is
/// unknown, so that the signal keeps its effect.
pub(super) fn hangup_is_ignored() -> bool {
    const SIGHUP_BIT: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & SIGHUP_BIT != 0)
}
