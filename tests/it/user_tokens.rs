//! User tokens: what they may do on each route, and where their keys come from.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::harness::app::{App, eventually};
use crate::harness::openapi::Description;
use crate::harness::pictures::jpeg;
use crate::harness::scripted_api::{Answer, ScriptedApi};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const SERVICE: &str = "the-service-token-of-the-shop";
pub const ADMIN: &str = "the-admin-token-of-the-shop";

/// Settings with all kinds of tokens.
pub const SETTINGS: [&str; 5] = [
    "auth.token=the-service-token-of-the-shop",
    "auth.admin_token=the-admin-token-of-the-shop",
    "auth.jwt.secret=0123456789abcdef0123456789abcdef",
    "auth.jwt.issuer=shop",
    "auth.jwt.audience=m3a3",
];

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The claims of a valid token of user 7.
pub fn claims(scope: &str) -> Value {
    json!({ "sub": "7", "username": "ada", "scope": scope, "iss": "shop", "aud": "m3a3", "exp": now_s() + 600 })
}

fn signed(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    format!("{message}.{}", BASE64.encode(sign(message.as_bytes())))
}

pub fn hs256(claims: &Value) -> String {
    signed(&json!({ "alg": "HS256" }), claims, |message| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        ring::hmac::sign(&key, message).as_ref().to_vec()
    })
}

pub fn changed(claim: &str, value: Value) -> String {
    let mut claims = claims("upload status score order");
    claims[claim] = value;
    hs256(&claims)
}

/// Tokens that no guarded route accepts.
fn invalid_tokens() -> Vec<(&'static str, String)> {
    let all = claims("upload status score order");
    let unsigned = signed(&json!({ "alg": "none" }), &all, |_| Vec::new());
    let good = hs256(&all);
    let cut = good[..good.len() - 1].to_owned();
    vec![
        ("a wrong token", "wrong".to_owned()),
        ("a cut signature", cut),
        ("the algorithm none", unsigned),
        ("another algorithm", signed(&json!({ "alg": "RS256" }), &all, |_| vec![0; 256])),
        ("an expired token", changed("exp", json!(now_s() - 60))),
        ("no expiry", changed("exp", Value::Null)),
        ("a later token", changed("nbf", json!(now_s() + 600))),
        ("another issuer", changed("iss", json!("evil"))),
        ("another audience", changed("aud", json!("evil"))),
        ("no user", changed("sub", Value::Null)),
    ]
}

/// The access to a route.
#[derive(Clone, Copy, PartialEq)]
enum Access {
    /// Everyone.
    Open,
    /// The service token, and users with this scope for their own resources.
    User(&'static str),
    /// The service token alone.
    Service,
    /// The admin token alone.
    Admin,
}

/// Every operation of both servers.
const ROUTES: [(&str, Access); 31] = [
    ("get /", Access::Open),
    ("get /confirm-email", Access::Open),
    ("get /docs", Access::Open),
    ("get /healthz", Access::Open),
    ("get /leaderboard", Access::Open),
    ("get /leaderboard-feed", Access::Open),
    ("get /leaderboard/{username}", Access::Open),
    ("get /openapi.json", Access::Open),
    ("get /readyz", Access::Open),
    ("get /thumbnails/{name}", Access::Open),
    // Its token is in the link.
    ("post /confirm-email", Access::Open),
    ("get /jobs/{jobId}", Access::User("status")),
    ("get /jobs/{jobId}/live", Access::User("status")),
    ("get /status-live/{userId}", Access::User("status")),
    ("get /status/{userId}", Access::User("status")),
    ("get /users/{userId}", Access::User("status")),
    ("get /users/{userId}/images", Access::User("status")),
    ("post /enqueue", Access::User("upload")),
    ("post /place_order", Access::User("order")),
    ("post /score", Access::User("score")),
    ("put /users/{userId}", Access::User("upload")),
    ("get /orders/{orderId}", Access::Service),
    ("get /uploads/thumbs/{name}", Access::Service),
    ("get /admin/jobs", Access::Admin),
    ("get /admin/jobs/{jobId}", Access::Admin),
    ("get /metrics", Access::Admin),
    ("post /admin/jobs/purge", Access::Admin),
    ("post /admin/jobs/retry", Access::Admin),
    ("post /admin/jobs/{jobId}/cancel", Access::Admin),
    ("post /admin/jobs/{jobId}/retry", Access::Admin),
    ("post /seed", Access::Admin),
];

/// A request that is valid for user 7, or for `user`.
fn request(app: &App, method: Method, url: &str, name: &str, user: u64) -> RequestBuilder {
    let player = if user == 7 { "ada" } else { "bob" };
    let url = url.replace("/users/1", &format!("/users/{user}")).replace("/status/1", &format!("/status/{user}"));
    let url = url.replace("/status-live/1", &format!("/status-live/{user}?timeout=1"));
    let request = app.http.request(method, url);
    match name {
        "post /enqueue" => {
            request.multipart(Form::new().text("userId", user.to_string()).part("image", Part::bytes(jpeg(1))))
        }
        "put /users/{userId}" => request.json(&json!({ "username": "changed" })),
        "post /score" => request.json(&json!({ "username": player, "score": 1 })),
        "post /place_order" => request.json(&json!({ "orderId": format!("o-{user}"), "userId": user.to_string() })),
        _ => request,
    }
}

/// The status and the body, which is null if it is not JSON.
async fn status(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

/// Row counts that a refused request must leave unchanged.
fn rows(app: &App) -> Vec<i64> {
    let tables = ["users", "images", "jobs", "orders", "scores"];
    let count = |table: &&str| app.count(&format!("SELECT count(*) FROM {table}"));
    let named = app.count("SELECT count(*) FROM users WHERE username = 'changed'");
    tables.iter().map(count).chain([named]).collect()
}

#[tokio::test]
async fn every_route_admits_the_tokens_of_its_row_alone_and_others_change_nothing() {
    let app = App::new(&SETTINGS).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    let table: BTreeMap<&str, Access> = ROUTES.into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut before = rows(&app);
    for process in [&serve, &game] {
        let description = Description::of(&app, process.url()).await;
        for name in description.operations().into_keys() {
            let access = *table.get(name.as_str()).unwrap_or_else(|| panic!("{name} has no row in the table"));
            seen.insert(name.clone());
            if access == Access::Open {
                continue;
            }
            let (method, url) = description.example(&name);
            let by_user =
                |user, token: &str| status(request(&app, method.clone(), &url, &name, user).bearer_auth(token));
            let (without, _) = status(request(&app, method.clone(), &url, &name, 7)).await;
            assert_eq!(without, 401, "{name} without a token");
            for (kind, token) in invalid_tokens() {
                let (refused, problem) = by_user(7, &token).await;
                assert_eq!(refused, 401, "{name} with {kind}: {problem}");
            }
            let all = hs256(&claims("upload status score order"));
            let is_admitted = async |token: &str| {
                let (status, problem) = by_user(7, token).await;
                assert!(![401, 403].contains(&status), "{name}: {problem}");
            };
            match access {
                Access::User(scope) => {
                    let others = ["upload", "status", "score", "order"].into_iter().filter(|other| *other != scope);
                    let others = hs256(&claims(&others.collect::<Vec<_>>().join(" ")));
                    assert_eq!(by_user(7, &others).await.0, 403, "{name} without the scope {scope}");
                    let (refused, problem) = by_user(8, &all).await;
                    let hidden = if name.contains("{jobId}") { 404 } else { 403 };
                    assert_eq!(refused, hidden, "{name} of another user: {problem}");
                    assert_eq!(by_user(7, ADMIN).await.0, 401, "{name} with the admin token");
                    assert_eq!(rows(&app), before, "{name} changed something");
                    is_admitted(&hs256(&claims(scope))).await;
                    is_admitted(SERVICE).await;
                }
                Access::Service => {
                    assert_eq!(by_user(7, &all).await.0, 403, "{name} with a user token");
                    assert_eq!(by_user(7, ADMIN).await.0, 401, "{name} with the admin token");
                    assert_eq!(rows(&app), before, "{name} changed something");
                    is_admitted(SERVICE).await;
                }
                Access::Admin => {
                    assert_eq!(by_user(7, &all).await.0, 403, "{name} with a user token");
                    assert_eq!(by_user(7, SERVICE).await.0, 403, "{name} with the service token");
                    assert_eq!(rows(&app), before, "{name} changed something");
                    is_admitted(ADMIN).await;
                }
                Access::Open => unreachable!(),
            }
            before = rows(&app);
        }
    }
    let missing: Vec<_> = table.keys().filter(|name| !seen.contains(**name)).collect();
    assert_eq!(missing, [&""; 0], "rows without a route");
}

#[tokio::test]
async fn a_user_uploads_waits_and_sees_only_their_own_images() {
    let app = App::new(&SETTINGS).await;
    let up = app.up();
    let url = up.url();
    let token = hs256(&claims("upload status"));
    let form = || Form::new().part("image", Part::bytes(jpeg(1)).file_name("x.jpg"));
    let (code, accepted) = status(app.http.post(format!("{url}/enqueue")).bearer_auth(&token).multipart(form())).await;
    assert_eq!((code, &accepted["userId"]), (200, &json!(7)), "{accepted}");
    let get = |path: &str, token: &str| status(app.http.get(format!("{url}{path}")).bearer_auth(token));
    assert_eq!(get("/status-live/7?timeout=60", &token).await.1["status"], "done");
    let job = accepted["statusUrl"].as_str().unwrap();
    assert_eq!(get(job, &token).await.0, 200);
    assert_eq!(get("/users/7/images", &token).await.1["images"].as_array().unwrap().len(), 1);

    let mut other = claims("upload status");
    other["sub"] = json!("8");
    let other = hs256(&other);
    let without_id = |mut problem: Value| {
        problem["requestId"] = Value::Null;
        problem
    };
    let (code, hidden) = get(job, &other).await;
    let (_, missing) = get("/jobs/01a20af3-7c5c-7497-8f81-9c67afd551d6", &other).await;
    assert_eq!((code, without_id(hidden)), (404, without_id(missing)), "another user's job is as if it did not exist");
    let put = |body: Value| status(app.http.put(format!("{url}/users/7")).bearer_auth(&token).json(&body));
    assert_eq!(put(json!({ "username": "ada" })).await.0, 200);
    for path in [job.to_owned(), format!("{job}/live?timeout=1")] {
        assert_eq!(get(&path, &other).await.0, 404, "{path}");
        let head = app.http.head(format!("{url}{path}")).bearer_auth(&other);
        assert_eq!(status(head).await.0, 404, "HEAD {path}");
    }
    let by_path = app.http.post(format!("{url}/enqueue")).bearer_auth(&token);
    let (code, problem) = status(by_path.json(&json!({ "userId": 7, "imagePath": "x.jpg" }))).await;
    assert!(code == 403 && problem["detail"].as_str().unwrap().contains("service token"), "{problem}");
    assert_eq!(get("/status/7", SERVICE).await.0, 200, "the service token acts for every user");
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn scores_and_orders_are_ones_own() {
    let app = App::new(&SETTINGS).await;
    let game = app.ready_game_server().await;
    let post = |path: &str, body: Value| {
        let token = hs256(&claims("score order"));
        status(app.http.post(format!("{}{path}", game.url())).bearer_auth(token).json(&body))
    };
    assert_eq!(post("/score", json!({ "username": "ada", "score": 5 })).await.0, 200);
    assert_eq!(post("/score", json!({ "username": "bob", "score": 5 })).await.0, 403);
    assert_eq!(post("/place_order", json!({ "orderId": "a", "userId": "7" })).await.0, 200);
    assert_eq!(post("/place_order", json!({ "orderId": "b", "userId": "07" })).await.0, 403);
}

#[test]
fn a_minted_token_is_accepted_and_its_errors_say_what_to_do() {
    let dir = crate::harness::binary::Workdir::new();
    let minted = dir.run(&["token", "mint", "--user", "7", "--set", &format!("auth.jwt.secret={SECRET}")]);
    assert_eq!(minted.stdout.trim().split('.').count(), 3, "{}", minted.stderr);
    for (args, expected) in [
        (&["token", "mint", "--user", "7"][..], "auth.jwt.secret is not set"),
        (
            &[
                "token",
                "mint",
                "--user",
                "7",
                "--scope",
                "score",
                "--set",
                "auth.jwt.secret=0123456789abcdef0123456789abcdef",
            ],
            "--username",
        ),
        (&["token", "mint", "--user", "7", "--set", "auth.jwt.jwks=keys.json"], "public"),
        (&["token", "mint", "--user", "7", "--set", "auth.jwt.secret=short"], "at least 32 bytes"),
        (&["token", "mint", "--user", "7", "--ttl", "1y"], "1h"),
        (&["serve", "--set", "auth.jwt.jwks=missing.json"], "missing.json"),
    ] {
        let ran = dir.run(args);
        assert!(ran.code != Some(0) && ran.stderr.contains(expected), "{args:?}: {}", ran.stderr);
    }
}

/// A key pair with the set of its public key.
fn key_pair(id: &str) -> (Ed25519KeyPair, String) {
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": BASE64.encode(pair.public_key()) });
    let set = json!({ "keys": [key] }).to_string();
    (pair, set)
}

#[tokio::test]
async fn a_new_key_is_loaded_when_a_token_names_it_and_the_old_one_is_then_invalid() {
    let ((old, old_set), (new, new_set)) = (key_pair("old"), key_pair("new"));
    let app = App::new(&["auth.jwt.jwks=keys.json"]).await;
    app.dir.write("keys.json", old_set);
    let serve = app.serve();
    let token = |pair: &Ed25519KeyPair, id: &str| {
        let claims = json!({ "sub": "7", "exp": now_s() + 600 });
        signed(&json!({ "alg": "EdDSA", "kid": id }), &claims, |message| pair.sign(message).as_ref().to_vec())
    };
    let (by_old, by_new) = (token(&old, "old"), token(&new, "new"));
    let get = |token: String| status(app.http.get(format!("{}/status/7", serve.url())).bearer_auth(token));
    assert_eq!(get(by_old.clone()).await.0, 404, "valid, and the user has no images");
    assert_eq!(get(by_new.clone()).await.0, 401);
    app.dir.write("keys.json", new_set);
    eventually("the new key is loaded", || async { (get(by_new.clone()).await.0 == 404).then_some(()) }).await;
    assert_eq!(get(by_old).await.0, 401);
    app.dir.write("keys.json", json!({ "keys": [] }).to_string());
    let is_refused = || async {
        assert_eq!(get(token(&new, "unknown")).await.0, 401, "this loads the keys again");
        (get(by_new.clone()).await.0 == 401).then_some(())
    };
    eventually("no key is left", is_refused).await;
}

#[tokio::test]
async fn keys_of_a_url_may_come_late_and_stay_while_it_is_down() {
    let (pair, set) = key_pair("a");
    let set = serde_json::from_str(&set).unwrap();
    // After its script, the server answers with errors.
    let issuer =
        ScriptedApi::start().on("GET /keys", [Answer::Json(503, json!({})), Answer::BreaksOff, Answer::Json(200, set)]);
    let app = App::new(&[&format!("auth.jwt.jwks={}/keys", issuer.url)]).await;
    let serve = app.serve();
    let token = |id: &str| {
        let claims = json!({ "sub": "7", "exp": now_s() + 600 });
        signed(&json!({ "alg": "EdDSA", "kid": id }), &claims, |message| pair.sign(message).as_ref().to_vec())
    };
    let get = |id: &str| status(app.http.get(format!("{}/status/7", serve.url())).bearer_auth(token(id)));
    let (code, problem) = get("a").await;
    assert_eq!(code, 503, "{problem}");
    eventually("the keys are loaded", || async { (get("a").await.0 == 404).then_some(()) }).await;
    let failed_again = || async {
        assert_eq!(get("unknown").await.0, 401);
        (issuer.requests().len() > 3).then_some(())
    };
    eventually("the keys are requested again", failed_again).await;
    assert_eq!(get("a").await.0, 404);
}
