//! The receiver of webhooks: counts deliveries, and rejects some first attempts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use serde_json::Value;

type Deliveries = Mutex<HashMap<String, u64>>;

/// A running receiver, which ends with the process.
pub struct Receiver {
    pub url: String,
    deliveries: Arc<Deliveries>,
}

impl Receiver {
    /// Starts on a free port.
    pub fn start() -> Self {
        let deliveries = Arc::new(Deliveries::default());
        let data = web::Data::from(Arc::clone(&deliveries));
        let (sender, started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(data.clone()).default_service(web::to(receive));
                let server = HttpServer::new(app).workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
                sender.send(server.addrs()[0]).unwrap();
                server.run().await.unwrap();
            });
        });
        Self { url: format!("http://{}/hooks", started.recv().unwrap()), deliveries }
    }

    /// The number of accepted deliveries of an order.
    pub fn accepted(&self, order: &str) -> u64 {
        self.deliveries.lock().unwrap().get(order).copied().unwrap_or(0)
    }
}

async fn receive(body: web::Bytes, deliveries: web::Data<Deliveries>) -> HttpResponse {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return HttpResponse::BadRequest().finish() };
    let Some(order) = body["metadata"]["order_id"].as_str() else { return HttpResponse::BadRequest().finish() };
    let is_rejected = order.ends_with('7') && {
        let tried = format!("tried {order}");
        deliveries.lock().unwrap().insert(tried, 1).is_none()
    };
    if is_rejected {
        return HttpResponse::ServiceUnavailable().finish();
    }
    *deliveries.lock().unwrap().entry(order.to_owned()).or_default() += 1;
    HttpResponse::NoContent().finish()
}
