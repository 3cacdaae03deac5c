//! An API server that responds by a script and records requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use serde_json::Value;

/// A response.
#[derive(Debug, Clone)]
pub enum Answer {
    /// A status and a JSON body.
    Json(u16, Value),
    /// The same, with a header.
    WithHeader(u16, Value, (&'static str, &'static str)),
    /// A response whose connection breaks within the body.
    BreaksOff,
}

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    pub headers: BTreeMap<String, String>,
    pub body: Bytes,
}

/// A running server, which stops when it is dropped.
pub struct ScriptedApi {
    pub url: String,
    script: Arc<Script>,
    server: Option<(ServerHandle, JoinHandle<()>)>,
}

#[derive(Default)]
struct Script {
    answers: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    requests: Mutex<Vec<Request>>,
}

impl ScriptedApi {
    pub fn start() -> Self {
        let script = Arc::new(Script::default());
        let (sender, started) = std::sync::mpsc::channel();
        let data = web::Data::from(Arc::clone(&script));
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(data.clone()).default_service(web::to(answer));
                let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                sender.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, handle) = started.recv().unwrap();
        Self { url: format!("http://{address}"), script, server: Some((handle, thread)) }
    }

    /// Sets the responses to successive requests of this method and path.
    pub fn on(self, line: &str, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.script.answers.lock().unwrap().insert(line.to_owned(), answers.into_iter().collect());
        self
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.script.requests.lock().unwrap().clone()
    }
}

impl Drop for ScriptedApi {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.server.take() {
            drop(handle.stop(false));
            let _ = thread.join();
        }
    }
}

async fn answer(request: HttpRequest, body: web::Payload, script: web::Data<Script>) -> HttpResponse {
    let line = format!("{} {}", request.method(), request.path());
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers = headers.collect();
    let body = body.to_bytes_limited(16 << 20).await.unwrap().unwrap();
    script.requests.lock().unwrap().push(Request { headers, body });
    let next = script.answers.lock().unwrap().get_mut(&line).and_then(VecDeque::pop_front);
    let respond = |status| HttpResponse::build(StatusCode::from_u16(status).unwrap());
    match next {
        Some(Answer::Json(status, body)) => respond(status).json(body),
        Some(Answer::WithHeader(status, body, header)) => respond(status).insert_header(header).json(body),
        Some(Answer::BreaksOff) => {
            let broken = futures_util::stream::iter([Ok(Bytes::from("{")), Err("broken off")]);
            respond(200).streaming::<_, Box<dyn std::error::Error>>(futures_util::StreamExt::map(
                broken,
                |part: Result<_, &str>| part.map_err(Into::into),
            ))
        }
        None => respond(500).body("not in the script"),
    }
}
