//! Spans that are created only for events.
//!
//! An open span costs the subscriber formatting at its creation and several hundred bytes until it is closed. Most
//! requests log nothing, and held ones number in the tens of thousands: so a request has a closure instead, and
//! [`WithLazySpan`] calls it whenever an event is logged while the request is polled.
//!
//! Owns the task-local of the closure. Consumes and publishes nothing. Never outlives the polls of its task: work that
//! the task spawns is outside the span.

use std::fmt;
use std::future::Future;
use std::rc::Rc;

use tokio::task_local;
use tracing::{Event, Span, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

task_local! {
    static CURRENT: Rc<dyn LazySpan>;
}

/// Creates its span on demand.
pub(crate) trait LazySpan {
    /// The span. It is called once per event.
    fn span(&self) -> Span;
}

/// Logs the events of `future` within the span.
pub(crate) fn in_lazy_span<F: Future>(span: Rc<dyn LazySpan>, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(span, future)
}

/// Logs the events of `work` within the span.
pub(crate) fn within_lazy_span<R>(span: Rc<dyn LazySpan>, work: impl FnOnce() -> R) -> R {
    CURRENT.sync_scope(span, work)
}

/// Formats an event within the lazy span of the task, if there is one.
#[derive(Debug)]
pub(crate) struct WithLazySpan<F>(pub(crate) F);

impl<S, N, F> FormatEvent<S, N> for WithLazySpan<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let span = CURRENT.try_with(|lazy| lazy.span()).unwrap_or_else(|_| Span::none());
        span.in_scope(|| self.0.format_event(context, writer, event))
    }
}
