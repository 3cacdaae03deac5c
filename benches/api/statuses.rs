//! `GET /status/{userId}`, and `/healthz` as a reference without database access.

use std::sync::Arc;

use serde_json::json;

use super::rig::CONNECTIONS;
use super::rig::load::{self, Client};
use super::rig::report::{Report, Target};
use super::{Bench, rows, serve};

/// Loads a server with users with and without a thumbnail.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let server = serve(bench, "statuses")?;
    rows::add_users(&mut server.database()?, bench.plan.users)?;
    server.ready()?;

    let alive = Arc::new(vec![Exchange { request: get("/healthz"), body: json!({ "status": "ok" }).to_string() }]);
    let health = load::run(&bench.rig, &server, |number| Asking::new(Arc::clone(&alive), number))?;
    report.add_load("`GET /healthz`, for comparison", &health, [None; 3]);

    let statuses: Arc<Vec<_>> = Arc::new((1..=bench.plan.users).map(status).collect());
    let load = load::run(&bench.rig, &server, |number| Asking::new(Arc::clone(&statuses), number))?;
    let targets = [Some(Target::AtLeast(30_000.0)), None, Some(Target::AtMost(0.02))];
    report.add_load("`GET /status/{userId}`", &load, targets);
    Ok(())
}

/// A request, and the body of its response.
pub struct Exchange {
    request: String,
    body: String,
}

impl Exchange {
    /// The same with further header fields.
    pub fn with_fields(self, fields: &str) -> Self {
        Self { request: self.request.replacen("\r\n\r\n", &format!("\r\n{fields}\r\n"), 1), ..self }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:3010\r\n\r\n")
}

/// The status of a user by [`rows::add_users`].
pub fn status(user: i64) -> Exchange {
    let body = match user % 2 {
        0 => json!({ "status": "done", "thumbnailUrl": rows::thumbnail_url(user) }),
        _ => json!({ "status": "pending", "message": "Thumbnail is still being generated." }),
    };
    Exchange { request: get(&format!("/status/{user}")), body: body.to_string() }
}

/// Repeats the exchanges in a cycle.
pub struct Asking {
    exchanges: Arc<Vec<Exchange>>,
    next: usize,
}

impl Asking {
    /// Of the connection with this number: each begins elsewhere.
    pub fn new(exchanges: Arc<Vec<Exchange>>, number: usize) -> Self {
        let next = number * (exchanges.len() / CONNECTIONS);
        Self { exchanges, next }
    }
}

impl Client for Asking {
    fn request(&mut self) -> &[u8] {
        // A step that is coprime to the number of users reaches all of them, in an order without locality.
        self.next = (self.next + 7919) % self.exchanges.len();
        self.exchanges[self.next].request.as_bytes()
    }

    fn is_right(&mut self, body: &[u8]) -> bool {
        body == self.exchanges[self.next].body.as_bytes()
    }
}
