//! A webhook receiver with scripted responses, which records deliveries.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use actix_web::dev::ServerHandle;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::app::eventually;
use super::ports::listen;

/// The file with the authority of [`tls_config`]'s certificate.
pub const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/authority.pem");

/// A certificate of another authority than that of [`tls_config`].
pub const UNTRUSTED_CERTIFICATE: &[u8] = include_bytes!("../../fixtures/tls/receiver.pem");

/// A response to a delivery.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This status, without a body.
    Status(u16),
    /// 302 to this address.
    Redirect(String),
    /// No response.
    Silence,
    /// 200 with a body that never ends.
    EndlessBody,
}

/// A received delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub at: Instant,
    /// Method and target.
    pub line: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Delivery {
    /// The order id in the body.
    pub fn order(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["metadata"]["order_id"].as_str().unwrap().to_owned()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A running receiver, which stops when it is dropped.
pub struct Receiver {
    pub url: String,
    state: Arc<State>,
    server: Option<(ServerHandle, JoinHandle<()>)>,
}

/// The response to a delivery of this order, by the number of its earlier deliveries.
type Script = dyn Fn(&str, usize) -> Answer + Send + Sync;

struct State {
    script: Box<Script>,
    deliveries: Mutex<Vec<Delivery>>,
}

impl Receiver {
    /// Starts a receiver with the same response to every delivery.
    pub fn always(answer: Answer) -> Self {
        Self::scripted(move |_, _| answer.clone())
    }

    /// Starts a receiver whose response depends on the order and the number of its earlier deliveries.
    pub fn scripted(script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::listening(SocketAddr::from(([127, 0, 0, 1], 0)), script)
    }

    /// Starts it at this address.
    pub fn listening(address: SocketAddr, script: impl Fn(&str, usize) -> Answer + Send + Sync + 'static) -> Self {
        let state = Arc::new(State { script: Box::new(script), deliveries: Mutex::default() });
        let data = web::Data::from(Arc::clone(&state));
        let (sender, started) = std::sync::mpsc::channel();
        let listener = listen(address);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(data.clone()).default_service(web::to(receive));
                let server = HttpServer::new(app).workers(1).disable_signals().listen(listener).unwrap();
                let address = server.addrs()[0];
                let server = server.run();
                sender.send((address, server.handle())).unwrap();
                server.await.unwrap();
            });
        });
        let (address, handle) = started.recv().unwrap();
        Self { url: format!("http://{address}/hooks?shop=1"), state, server: Some((handle, thread)) }
    }

    /// All deliveries so far, in order.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.state.deliveries.lock().unwrap().clone()
    }

    /// Waits for at least this number of deliveries, and returns all.
    pub async fn until(&self, count: usize) -> Vec<Delivery> {
        eventually(&format!("{count} deliveries"), || async {
            let deliveries = self.deliveries();
            (deliveries.len() >= count).then_some(deliveries)
        })
        .await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some((handle, thread)) = self.server.take() {
            drop(handle.stop(false));
            let _ = thread.join();
        }
    }
}

async fn receive(request: HttpRequest, body: web::Payload, state: web::Data<State>) -> HttpResponse {
    let at = Instant::now();
    let headers = request.headers().iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    let headers = headers.collect();
    let body = body.to_bytes_limited(1 << 20).await.unwrap().unwrap();
    let line = format!("{} {}", request.method(), request.uri());
    let delivery = Delivery { at, line, headers, body };
    let order = delivery.order();
    let before = {
        let mut deliveries = state.deliveries.lock().unwrap();
        let before = deliveries.iter().filter(|before| before.order() == order).count();
        deliveries.push(delivery);
        before
    };
    match (state.script)(&order, before) {
        Answer::Status(status) => HttpResponse::build(StatusCode::from_u16(status).unwrap()).finish(),
        Answer::Redirect(to) => HttpResponse::Found().insert_header(("Location", to)).finish(),
        Answer::Silence => std::future::pending().await,
        Answer::EndlessBody => {
            let chunk = Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'x'; 1024]));
            HttpResponse::Ok().streaming(stream::repeat(chunk))
        }
    }
}

/// The configuration of a TLS server with a certificate of the authority in [`AUTHORITY`], valid for 127.0.0.1.
pub fn tls_config() -> Arc<ServerConfig> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_slice(include_bytes!("../../fixtures/tls/receiver.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../fixtures/tls/receiver.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    Arc::new(config)
}

/// Starts a receiver behind TLS with a certificate of the authority in [`AUTHORITY`], which accepts every delivery, one
/// connection at a time. Returns its port.
pub fn start_tls() -> u16 {
    let config = tls_config();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    // The thread ends with the test process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
            // Clients that refuse the certificate disconnect here.
            let _ = accept_one(&mut stream);
        }
    });
    port
}

/// Reads one delivery, whose body ends with two braces, and accepts it.
fn accept_one(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while !request.ends_with(b"}}") {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&chunk[..count]),
        }
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")?;
    stream.flush()
}
