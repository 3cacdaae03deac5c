//! Pages of other origins: CORS, and the guard of a server without a token.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::harness::app::App;
use crate::harness::openapi::Description;
use crate::harness::pictures::jpeg;
use crate::harness::problem::assert_refused;
use crate::harness::raw_http;
use crate::harness::websocket::{self, Websocket};

const SHOP: &str = "https://shop.example";
const EVIL: &str = "http://evil.example";

/// The request as a browser sends it for a page of another site.
fn from_page(request: RequestBuilder, origin: &str) -> RequestBuilder {
    request.header("Origin", origin).header("Sec-Fetch-Site", "cross-site").header("Sec-Fetch-Mode", "cors")
}

fn upload(app: &App, url: &str) -> RequestBuilder {
    let part = reqwest::multipart::Part::bytes(jpeg(1)).file_name("x.jpg");
    let form = reqwest::multipart::Form::new().text("userId", "1").part("image", part);
    app.http.post(format!("{url}/enqueue")).multipart(form)
}

#[tokio::test]
async fn every_operation_answers_options_and_a_preflight_of_a_listed_origin() {
    let app = App::new(&["cors.origins=https://shop.example", "auth.token=s3cret"]).await;
    for process in [app.serve(), app.ready_game_server().await] {
        let description = Description::of(&app, process.url()).await;
        for name in description.operations().into_keys() {
            let (method, url) = description.example(&name);
            let options = app.http.request(Method::OPTIONS, &url).send().await.unwrap();
            assert_eq!(options.status(), 204, "{name}");
            let allowed = options.headers()["allow"].to_str().unwrap().to_owned();
            assert!(allowed.split(", ").any(|allowed| allowed == method.as_str()), "{name}: {allowed}");

            let preflight = |origin: &'static str| {
                let request = app.http.request(Method::OPTIONS, &url).header("Origin", origin);
                let request = request.header("Access-Control-Request-Method", method.as_str());
                request.header("Access-Control-Request-Headers", "authorization,content-type").send()
            };
            let permitted = preflight(SHOP).await.unwrap();
            let origins = if name.ends_with("/leaderboard-feed") { "*" } else { SHOP };
            assert_eq!(permitted.status(), 204, "{name}");
            assert_eq!(permitted.headers()["access-control-allow-origin"], origins, "{name}");
            assert_eq!(permitted.headers()["access-control-allow-methods"], allowed, "{name}");
            assert_eq!(permitted.headers()["access-control-allow-headers"], "authorization,content-type", "{name}");
            let other = preflight(EVIL).await.unwrap();
            let is_open = other.headers().contains_key("access-control-allow-origin");
            assert_eq!(is_open, origins == "*", "{name}");
        }
    }
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_upload_wait_and_read_errors() {
    let app = App::new(&["cors.origins=http://localhost:3000, https://shop.example"]).await;
    let up = app.up();
    let url = up.url();
    let accepted = from_page(upload(&app, url), SHOP).send().await.unwrap();
    assert_eq!(accepted.status(), 200);
    assert_eq!(accepted.headers()["access-control-allow-origin"], SHOP);
    assert_eq!(accepted.headers()["vary"], "Origin");
    let done = from_page(app.http.get(format!("{url}/status-live/1")), SHOP).send().await.unwrap();
    assert_eq!((done.status().as_u16(), &done.headers()["access-control-allow-origin"]), (200, &SHOP.parse().unwrap()));
    let problem = from_page(app.http.get(format!("{url}/status/x")), SHOP).send().await.unwrap();
    assert_eq!(problem.status(), 400);
    assert_eq!(problem.headers()["access-control-allow-origin"], SHOP);
    assert!(problem.headers()["access-control-expose-headers"].to_str().unwrap().contains("Retry-After"));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_on_a_server_without_a_token() {
    for (origins, refused) in [("", true), ("https://shop.example", true), ("*", false)] {
        let app = App::new(&[&format!("cors.origins={origins}")]).await;
        let (serve, game) = (app.serve(), app.ready_game_server().await);
        let score = || app.http.post(format!("{}/score", game.url())).json(&json!({ "username": "ada", "score": 7 }));
        assert_eq!(score().send().await.unwrap().status(), 200);
        // Routes are matched by the decoded path.
        for path in ["/seed", "/%73eed"] {
            let seed = from_page(app.http.post(format!("{}{path}", game.url())), EVIL);
            assert_refused(&format!("{path} with {origins:?}"), seed, 403, "cors.origins").await;
        }
        for path in ["/admin/jobs", "/%61dmin/jobs", "/metrics"] {
            let read = from_page(app.http.get(format!("{}{path}", serve.url())), EVIL);
            assert_refused(&format!("{path} with {origins:?}"), read, 403, "cors.origins").await;
        }
        let link = app.http.get(format!("{}/admin/jobs", serve.url())).header("Sec-Fetch-Site", "cross-site");
        assert_eq!(link.send().await.unwrap().status(), 200, "a link to the jobs");
        let order =
            app.http.post(format!("{}/place_order", game.url())).json(&json!({ "orderId": "a", "userId": "b" }));
        let expected = if refused { 403 } else { 200 };
        for request in [upload(&app, serve.url()), score(), order] {
            assert_eq!(from_page(request, EVIL).send().await.unwrap().status(), expected, "{origins:?}");
        }
        assert_eq!(app.players(game.url()).await, ["ada"]);
        assert_eq!(app.count("SELECT count(*) FROM orders"), i64::from(!refused), "{origins:?}");
    }
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_use_a_server_without_a_token() {
    let app = App::new(&["cors.origins=https://shop.example"]).await;
    let game = app.ready_game_server().await;
    let score = app.http.post(format!("{}/score", game.url())).json(&json!({ "username": "ada", "score": 7 }));
    for request in [score, app.http.post(format!("{}/seed", game.url()))] {
        assert_eq!(from_page(request, SHOP).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_server_without_a_token_has_no_public_name() {
    let app = App::new(&["serve.public_url=https://images.example/m3a3"]).await;
    for process in [app.serve(), app.ready_game_server().await] {
        let url = process.url();
        let status = async |host: &str| {
            let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            raw_http::exchange(url, request).await.unwrap().status
        };
        for host in ["127.0.0.1", "localhost:3010", "[::1]:3010", "m3a3", "images.example"] {
            assert_eq!(status(host).await, 200, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:3010", "localhost.evil.example"] {
            assert_eq!(status(host).await, 403, "{host}");
        }
    }
}

#[tokio::test]
async fn a_websocket_under_a_public_name_is_refused_without_a_token() {
    let app = App::new(&[]).await;
    let game = app.ready_game_server().await;
    let target = "/socket.io/?EIO=4&transport=websocket";
    let rebound = websocket::request(target, |request| request.replace("Host: localhost", "Host: evil.example"));
    let refused = Websocket::request(game.url(), &rebound).await.expect_err("a refusal");
    assert_eq!(refused.status, 403);
    let page =
        websocket::request(target, |request| request.replace("\r\n\r\n", "\r\nOrigin: http://evil.example\r\n\r\n"));
    assert!(Websocket::request(game.url(), &page).await.is_ok(), "Socket.IO is open to every origin");
}

#[tokio::test]
async fn with_a_token_or_explicit_consent_any_name_and_origin_is_admitted() {
    for setting in ["auth.token=s3cret", "auth.allow_anonymous=true"] {
        let app = App::new(&[setting]).await;
        let game = app.ready_game_server().await;
        let seed = from_page(app.http.post(format!("{}/seed", game.url())), EVIL).header("Host", "board.example");
        assert_eq!(seed.bearer_auth("s3cret").send().await.unwrap().status(), 200, "{setting}");
    }
}

#[tokio::test]
async fn a_reset_of_the_board_needs_the_admin_token_where_one_is_set() {
    let app = App::new(&["auth.token=s3cret", "auth.admin_token=0perator"]).await;
    let game = app.ready_game_server().await;
    let seed = |token| app.http.post(format!("{}/seed", game.url())).bearer_auth(token).send();
    assert_eq!(seed("s3cret").await.unwrap().status(), 403);
    assert_eq!(seed("0perator").await.unwrap().status(), 200);
}
