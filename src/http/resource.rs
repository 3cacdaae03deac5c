//! Resources with the methods that they allow. Their requests are counted by path pattern.

use actix_web::http::{Method, header};
use actix_web::{FromRequest, Handler, HttpResponse, Resource, Responder, Route, web};

use super::Problem;
use super::metrics;

/// A resource for GET, and for HEAD, whose response is the same without its body.
pub(crate) fn get<H, A>(path: &str, handler: H) -> Resource
where
    H: Handler<A>,
    A: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    allowing("GET, HEAD", reading(path, handler))
}

/// A resource for POST.
pub(crate) fn post<H, A>(path: &str, handler: H) -> Resource
where
    H: Handler<A>,
    A: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    allowing("POST", resource(path).route(web::post().to(handler)))
}

/// A resource for GET, HEAD and PUT.
pub(crate) fn get_put<H, A, P, B>(path: &str, handler: H, putter: P) -> Resource
where
    H: Handler<A>,
    A: FromRequest + 'static,
    H::Output: Responder + 'static,
    P: Handler<B>,
    B: FromRequest + 'static,
    P::Output: Responder + 'static,
{
    allowing("GET, HEAD, PUT", reading(path, handler).route(web::put().to(putter)))
}

/// A resource for GET, HEAD and POST.
pub(crate) fn get_post<H, A, P, B>(path: &str, handler: H, poster: P) -> Resource
where
    H: Handler<A>,
    A: FromRequest + 'static,
    H::Output: Responder + 'static,
    P: Handler<B>,
    B: FromRequest + 'static,
    P::Output: Responder + 'static,
{
    allowing("GET, HEAD, POST", reading(path, handler).route(web::post().to(poster)))
}

fn reading<H, A>(path: &str, handler: H) -> Resource
where
    H: Handler<A>,
    A: FromRequest + 'static,
    H::Output: Responder + 'static,
{
    resource(path).route(web::get().to(handler.clone())).route(web::head().to(handler))
}

/// Answers OPTIONS with the methods of the resource, and all others with 405.
fn allowing(methods: &'static str, resource: Resource) -> Resource {
    let other = move || async move { Err::<HttpResponse, _>(Problem::method_not_allowed(methods)) };
    resource.route(options(methods)).default_service(web::to(other))
}

/// Answers OPTIONS with the allowed methods. Needs no token, since browsers send none with the preflight of CORS.
pub(crate) fn options(allowed: &'static str) -> Route {
    web::method(Method::OPTIONS)
        .to(move || async move { HttpResponse::NoContent().insert_header((header::ALLOW, allowed)).finish() })
}

fn resource(path: &str) -> Resource {
    web::resource(path).app_data(metrics::Route::new(path))
}

/// The handler of paths without a resource: always 404.
pub(crate) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("There is nothing at this address."))
}
