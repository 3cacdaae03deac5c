//! `Expect: 100-continue` (RFC 9110, section 10.1.1): the client sends the body of a request only after the interim
//! response 100, or not at all if there is a final response before.
//!
//! The HTTP parser of actix sends 100 before it passes on the request. So the expectation serves the request until its
//! handler reads the body for the first time: then 100 is sent, and the handler continues. A handler that refuses the
//! request without its body, by the token, a limit or the announced length, ends the expectation with its response.

use std::cell::{Cell, OnceCell};
use std::future::{pending, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_http::{Payload, Request, Response};
use actix_service::{Service, ServiceFactory, always_ready, fn_factory};
use actix_web::HttpMessage;
use actix_web::body::BoxBody;
use actix_web::dev::RequestHead;
use actix_web::error::PayloadError;
use actix_web::http::{StatusCode, header};
use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture};
use futures_util::{FutureExt, Stream};

use super::Problem;

/// Refuses an expectation that the server does not know.
///
/// # Errors
/// 417 for anything but `100-continue`.
pub(super) fn check(head: &RequestHead) -> Result<(), Problem> {
    let lines = head.headers.get_all(header::EXPECT);
    let mut members = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    match members.find(|member| !member.trim_ascii().eq_ignore_ascii_case(b"100-continue")) {
        None => Ok(()),
        Some(member) => {
            let got: String = String::from_utf8_lossy(member.trim_ascii()).chars().take(60).collect();
            let detail = format!("Expect: got {got:?}, expected \"100-continue\".");
            Err(Problem::new(StatusCode::EXPECTATION_FAILED, detail))
        }
    }
}

/// The service of one thread, which exists once the server has started.
pub(super) type Shared<S> = Rc<OnceCell<Rc<S>>>;

/// A request that is being served.
type Serving<S> = LocalBoxFuture<'static, Result<<S as Service<Request>>::Response, <S as Service<Request>>::Error>>;

/// The factories of one thread: of the service that `F` makes, and of the expectation, which uses this service.
pub(super) struct Factories<F: ServiceFactory<Request>> {
    factory: F,
    shared: Shared<F::Service>,
}

impl<F> Factories<F>
where
    F: ServiceFactory<Request, Config = ()> + 'static,
    F::Response: Into<Response<BoxBody>>,
    F::Error: Into<Response<BoxBody>>,
{
    pub(super) fn new(factory: F) -> Self {
        Self { factory, shared: Shared::default() }
    }

    /// The service, once it is made.
    pub(super) fn shared(&self) -> Shared<F::Service> {
        Rc::clone(&self.shared)
    }

    pub(super) fn expectation(
        &self,
    ) -> impl ServiceFactory<Request, Config = (), Response = Request, Error = Response<BoxBody>, InitError = ()> + use<F>
    {
        let shared = Rc::clone(&self.shared);
        fn_factory(move || ready(Ok(Expectation(Rc::clone(&shared)))))
    }

    pub(super) fn service(
        self,
    ) -> impl ServiceFactory<
        Request,
        Config = (),
        Response = F::Response,
        Error = F::Error,
        InitError = F::InitError,
        Service = Continuing<F::Service>,
    > {
        let Self { factory, shared } = self;
        fn_factory(move || {
            let (shared, service) = (Rc::clone(&shared), factory.new_service(()));
            async move {
                let service = Rc::new(service.await?);
                // A thread makes one service.
                let _ = shared.set(Rc::clone(&service));
                Ok(Continuing(service))
            }
        })
    }
}

/// Serves a request until its body is read.
struct Expectation<S>(Shared<S>);

/// A request whose handler waits for its body; an extension of the request that is passed on in its place.
struct Paused<S: Service<Request>>(Serving<S>);

impl<S> Service<Request> for Expectation<S>
where
    S: Service<Request> + 'static,
    S::Response: Into<Response<BoxBody>>,
    S::Error: Into<Response<BoxBody>>,
{
    type Response = Request;
    type Error = Response<BoxBody>;
    type Future = LocalBoxFuture<'static, Result<Request, Response<BoxBody>>>;

    always_ready!();

    fn call(&self, mut request: Request) -> Self::Future {
        // There are no requests before.
        let Some(service) = self.0.get() else { return ready(Ok(request)).boxed_local() };
        let is_read = Rc::new(Cell::new(false));
        if !matches!(request.payload(), Payload::None) {
            let body = Body { payload: request.take_payload(), is_read: Rc::clone(&is_read) };
            *request.payload() = Payload::Stream { payload: Box::pin(body) };
        }
        let mut serving = service.call(request).boxed_local();
        let until_read = poll_fn(move |context| match serving.poll_unpin(context) {
            Poll::Ready(Ok(response)) => Poll::Ready(Err(response.into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending if is_read.get() => {
                let paused = std::mem::replace(&mut serving, pending().boxed_local());
                let request = Request::new();
                request.extensions_mut().insert(Paused::<S>(paused));
                Poll::Ready(Ok(request))
            }
            Poll::Pending => Poll::Pending,
        });
        until_read.boxed_local()
    }
}

/// The body of a request, whose first read is noticed.
struct Body {
    payload: Payload,
    is_read: Rc<Cell<bool>>,
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_read.replace(true) {
            // It is polled again once 100 is sent.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.payload).poll_next(context)
    }
}

/// Serves requests, and continues those whose expectation is met.
pub(super) struct Continuing<S>(Rc<S>);

impl<S: Service<Request> + 'static> Service<Request> for Continuing<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Serving<S>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&self, request: Request) -> Self::Future {
        let paused = request.extensions_mut().remove::<Paused<S>>();
        match paused {
            Some(Paused(serving)) => Either::Right(serving),
            None => Either::Left(self.0.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_the_continuation_may_be_expected() {
        let is_refused = |values: &[&str]| {
            let request = TestRequest::default();
            let request = values.iter().fold(request, |request, value| request.append_header(("expect", *value)));
            check(request.to_srv_request().head()).is_err()
        };
        for known in [&[][..], &["100-continue"], &["100-Continue"], &["100-continue, 100-continue"]] {
            assert!(!is_refused(known), "{known:?}");
        }
        for other in [&["200-ok"][..], &["100-continue, x=1"], &["100-continue", "x"], &["100-continue;q=1"], &[""]] {
            assert!(is_refused(other), "{other:?}");
        }
    }
}
