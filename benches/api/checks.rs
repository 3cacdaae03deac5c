//! The cost of the checks before a request: of a user token, and of the limits of a client address. `GET /status/{userId}`
//! is sent in turn to three servers, which differ in one check each.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::json;

use super::rig::load;
use super::rig::report::{Report, Target, median};
use super::rig::server::Server;
use super::statuses::{Asking, Exchange, status};
use super::{Bench, rows};

const SERVICE_TOKEN: &str = "the-service-token-of-the-benchmark";
const SECRET: &str = "the-secret-of-user-tokens-of-the-benchmark";
/// 2100-01-01.
const EXPIRY_S: u64 = 4_102_444_800;
/// Fewer than the tokens that a server remembers.
const USERS: i64 = 200;
const RATES: [&str; 7] = ["uploads", "scores", "orders", "requests", "user_uploads", "user_scores", "user_orders"];

/// A server and its load.
struct Variant {
    name: &'static str,
    server: Server,
    exchanges: Arc<Vec<Exchange>>,
    /// The CPU microseconds of a request, for each round.
    costs: Vec<f64>,
}

impl Variant {
    fn start(
        bench: &Bench,
        name: &'static str,
        settings: &[String],
        token: impl Fn(i64) -> String,
    ) -> anyhow::Result<Self> {
        let fixed = [
            format!("auth.token={SERVICE_TOKEN}"),
            format!("auth.jwt.secret={SECRET}"),
            "serve.trusted_proxies=127.0.0.1".to_owned(),
        ];
        let settings: Vec<&str> = fixed.iter().chain(settings).map(String::as_str).collect();
        let server = Server::start(&bench.rig, name, "serve", &settings)?;
        rows::add_users(&mut server.database()?, USERS)?;
        server.ready()?;
        let exchanges = (1..=USERS).map(|user| {
            let fields = format!("Authorization: Bearer {}\r\nX-Forwarded-For: 192.0.2.{user}\r\n", token(user));
            status(user).with_fields(&fields)
        });
        Ok(Self { name, server, exchanges: Arc::new(exchanges.collect()), costs: Vec::new() })
    }

    fn load(&mut self, bench: &Bench) -> anyhow::Result<()> {
        let exchanges = &self.exchanges;
        let load = load::run(&bench.rig, &self.server, |number| Asking::new(Arc::clone(exchanges), number))?;
        self.costs.extend(load.cpu_per_thousand().map(|seconds| seconds * 1_000.0));
        Ok(())
    }
}

/// Loads the servers in turn.
pub fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let off = all_limits(0);
    let on = all_limits(1_000_000);
    let mut variants = [
        Variant::start(bench, "service token, no limits", &off, |_| SERVICE_TOKEN.to_owned())?,
        Variant::start(bench, "user token, no limits", &off, user_token)?,
        Variant::start(bench, "user token, all limits", &on, user_token)?,
    ];
    for _ in 0..bench.plan.rounds {
        for variant in &mut variants {
            variant.load(bench)?;
        }
    }
    for Variant { name, costs, .. } in &variants {
        report.add(&format!("`GET /status/{{userId}}`, {name}: CPU"), "µs", median(costs.iter().copied()), None);
    }
    let [service, user, limited] = &variants;
    let pairs = || service.costs.iter().zip(&user.costs).zip(&limited.costs);
    let token = median(pairs().map(|((service, user), _)| user - service));
    report.add("The check of a known user token: CPU", "µs", token, Some(Target::AtMost(5.0)));
    let limits = median(pairs().map(|((_, user), limited)| (limited / user - 1.0) * 100.0));
    report.add("All limits: more CPU", "%", limits, Some(Target::AtMost(3.0)));
    Ok(())
}

fn all_limits(limit: u32) -> Vec<String> {
    let rates = RATES
        .iter()
        .flat_map(|name| [format!("limits.{name}_per_minute={limit}"), format!("limits.{name}_burst=1000000")]);
    let numbers = ["polls", "feeds", "sockets", "held_uploads"].map(|name| format!("limits.{name}={limit}"));
    rates.chain(numbers).collect()
}

/// A token of this user by HS256 (RFC 7515).
fn user_token(user: i64) -> String {
    let encode = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({ "sub": user.to_string(), "exp": EXPIRY_S });
    let signed = format!("{}.{}", encode(json!({ "alg": "HS256", "typ": "JWT" })), encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}
