//! Logs: tracing to stderr, as text or JSON.
//!
//! Owns the process's subscriber and its panic hook. Never writes to stdout, and never fails because nobody reads stderr.

use std::any::Any;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFormat};

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` is no filter; [`Log`] checks that before.
    #[error("log.level is not a filter")]
    Level(#[from] ParseError),
    /// Somebody else collects the events already.
    #[error("logging is already set up")]
    Taken(#[from] TryInitError),
}

/// It makes an error of every request that is none, of which anybody may send as many as he likes. Who wants to see them
/// names it in `log.level`.
const STRANGERS: &str = "actix_http::h1::dispatcher";

/// Sends events to stderr, and panics of any thread as one `error` event each.
///
/// # Errors
/// When it is called a second time, or when the filter is bad.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(format!("{STRANGERS}=off,{}", log.level))?;
    // A write that fails is told on stderr by default, with a macro that panics when stderr is what failed.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    match log.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    log_panics();
    Ok(())
}

/// Makes every panic an `error` event; where the filter hides those, the panic is told as before.
fn log_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        if !tracing::enabled!(Level::ERROR) {
            return before(info);
        }
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(location, thread, "panicked: {}", panic_message(info.payload()).replace('\n', " "));
    }));
}

/// What a panic said, from its payload.
pub fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_one_error_event_that_says_where() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone());
        log_panics();
        tracing::subscriber::with_default(subscriber.finish(), || {
            panic::catch_unwind(|| panic!("no\nway {}", 7)).unwrap_err();
        });
        drop(panic::take_hook());

        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((event["level"].as_str(), event["message"].as_str()), (Some("ERROR"), Some("panicked: no way 7")));
        assert!(event["location"].as_str().unwrap().starts_with(file!()), "{text}");
    }
}
