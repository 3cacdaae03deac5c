//! Logging: tracing events to stderr, as text or JSON.
//!
//! Owns the process's subscriber and its panic hook. Consumes `[log]`; publishes nothing. Never writes to stdout, and
//! never fails because stderr is closed.

use std::any::Any;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Log, LogFilter, LogFormat};
use crate::lazy_span::WithLazySpan;

/// An error of the setup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    /// `log.level` is not a filter; the configuration checks that before.
    #[error("log.level is not a filter")]
    Level(#[from] ParseError),
    /// Another subscriber is installed.
    #[error("logging is already set up")]
    Taken(#[from] TryInitError),
}

/// Logs an error for every malformed request, and any client can send as many as it likes. Off unless `log.level` names
/// it.
const HTTP_PARSER: &str = "actix_http::h1::dispatcher";

/// Logs several lines at `info` for each server that starts or stops.
const HTTP_SERVER: &str = "actix_server";

/// Logs events to stderr, and each panic of any thread as one `error` event.
///
/// # Errors
/// When it is called twice, or with an invalid filter.
pub(crate) fn init(log: &Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(directives(&log.level))?;
    // By default a failed write is reported on stderr, with a macro that panics when stderr is closed.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    match log.format {
        LogFormat::Text => {
            lines.with_ansi(io::stderr().is_terminal()).map_event_format(WithLazySpan).finish().try_init()?
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false);
            lines.map_event_format(WithLazySpan).finish().try_init()?
        }
    }
    log_panics();
    Ok(())
}

/// The filter with the exceptions for noisy libraries. A directive of the filter that names one of them comes later,
/// and overrides its exception.
fn directives(filter: &LogFilter) -> String {
    let server = match filter.base() {
        LevelFilter::INFO => format!("{HTTP_SERVER}=warn,"),
        _ => String::new(),
    };
    format!("{HTTP_PARSER}=off,{server}{filter}")
}

/// Logs every panic as an `error` event. Where the filter hides it, the previous hook prints the panic.
fn log_panics() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        if !tracing::enabled!(Level::ERROR) {
            return previous(info);
        }
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(location, thread, "panicked: {}", panic_message(info.payload()).replace('\n', " "));
    }));
}

/// The message in the payload of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::{Config, Overrides};

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

    fn filter(text: &str) -> LogFilter {
        let mut overrides = Overrides::default();
        overrides.set("log.level", text, "--log-level");
        Config::load(&overrides).unwrap().log.level
    }

    #[test]
    fn the_http_server_logs_its_warnings_only_unless_the_filter_names_it_or_asks_for_more() {
        let lines = |text: &str| {
            let lines = Lines::default();
            let writer = lines.clone();
            let filter = EnvFilter::new(directives(&filter(text)));
            let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || writer.clone());
            tracing::subscriber::with_default(subscriber.finish(), || {
                tracing::info!(target: "actix_server::builder", "starting 2 workers");
                tracing::warn!(target: "actix_server::accept", "cannot accept");
                tracing::error!(target: "actix_http::h1::dispatcher", "malformed request");
            });
            String::from_utf8(lines.0.lock().unwrap().clone()).unwrap().lines().count()
        };
        for (text, count) in [
            ("info", 1),
            ("error", 0),
            ("off", 0),
            ("debug", 2),
            ("info,actix_server=info", 2),
            ("info,actix_http=warn", 1),
            ("info,actix_http::h1::dispatcher=error", 2),
        ] {
            assert_eq!(lines(text), count, "{text}");
        }
    }

    #[test]
    fn a_panic_is_one_error_event_with_its_location() {
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
