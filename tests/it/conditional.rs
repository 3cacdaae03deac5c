//! Conditional requests of responses that change: statuses, jobs, the board and players.

use reqwest::header::HeaderMap;
use reqwest::{Method, Response};

use crate::harness::app::{App, eventually};
use crate::harness::pictures::jpeg;

async fn ask(app: &App, method: Method, url: &str, etags: &str) -> Response {
    app.http.request(method, url).header("If-None-Match", etags).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The headers and the text of a response; not those of the board while Redis is slow, which say so.
async fn full(app: &App, url: &str, etags: &str) -> (HeaderMap, String) {
    eventually("a response", || async {
        let response = ask(app, Method::GET, url, etags).await;
        assert_eq!(response.status(), 200, "{url}");
        let headers = response.headers().clone();
        let text = response.text().await.unwrap();
        (!text.contains("\"source\":\"database\"")).then_some((headers, text))
    })
    .await
}

/// Asserts that a client which has the response gets 304, and returns its ETag.
async fn assert_revalidated(app: &App, url: &str, caching: &str) -> String {
    let (headers, text) = full(app, url, "\"other\"").await;
    assert_eq!(headers["cache-control"], caching, "{url}");
    let etag = headers["etag"].to_str().unwrap().to_owned();
    assert!(etag.starts_with('"'), "{url}: {etag}");
    for etags in [etag.clone(), format!("W/{etag}"), format!("\"a, b\" ,W/\"c\", {etag}"), "*".to_owned()] {
        for method in [Method::GET, Method::HEAD] {
            let unchanged = eventually("304", || async {
                let response = ask(app, method.clone(), url, &etags).await;
                (response.status() == 304).then_some(response)
            })
            .await;
            for name in ["cache-control", "vary"] {
                assert_eq!(unchanged.headers().get(name), headers.get(name), "{url} {name}");
            }
            // Any response matches "*", also one of the database.
            assert!(etags == "*" || unchanged.headers()["etag"] == etag, "{url}");
            for name in ["content-type", "content-length", "transfer-encoding"] {
                assert!(!unchanged.headers().contains_key(name), "{url} {name}");
            }
            assert_eq!(unchanged.bytes().await.unwrap(), "", "{url}");
        }
    }
    assert_eq!(full(app, url, "\"b\"").await.1, text, "{url}");
    etag
}

#[tokio::test]
async fn a_status_is_sent_again_only_after_it_has_changed() {
    let app = App::new(&["cors.origins=https://shop.example"]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let job = accepted["statusUrl"].as_str().unwrap();
    let urls = ["/status/1", job].map(|path| format!("{}{path}", serve.url()));
    let mut pending = Vec::new();
    for url in &urls {
        pending.push(assert_revalidated(&app, url, "private, no-cache").await);
    }
    assert_ne!(pending[0], pending[1]);
    let _worker = app.worker();
    app.assert_no_job_is_left().await;
    for (url, pending) in urls.iter().zip(pending) {
        let done = ask(&app, Method::GET, url, &pending).await;
        assert_eq!((done.status().as_u16(), header(&done, "vary")), (200, "Origin"));
        assert_ne!(assert_revalidated(&app, url, "private, no-cache").await, pending);
    }
    // Another process has the same ETags.
    let other = app.serve();
    let etag = assert_revalidated(&app, &urls[0], "private, no-cache").await;
    assert_eq!(ask(&app, Method::GET, &format!("{}/status/1", other.url()), &etag).await.status(), 304);
}

#[tokio::test]
async fn the_board_is_sent_again_only_after_it_has_changed() {
    let app = App::new(&[]).await;
    let game = app.ready_game_server().await;
    for (name, score) in [("ada", 3), ("bo", 2), ("cy", 1)] {
        app.score(game.url(), name, score).await;
    }
    app.redis_has_every_score().await;
    let url = |path: &str| format!("{}{path}", game.url());
    let paths = ["/leaderboard", "/leaderboard?limit=2", "/leaderboard?offset=2", "/leaderboard/ada"];
    let mut etags = Vec::new();
    for path in paths {
        etags.push(assert_revalidated(&app, &url(path), "no-cache").await);
    }
    app.score(game.url(), "bo", 7).await;
    app.redis_has_every_score().await;
    for ((path, etag), is_changed) in paths.into_iter().zip(&etags).zip([true, true, false, true]) {
        eventually(path, || async {
            let is_unchanged = ask(&app, Method::GET, &url(path), etag).await.status() == 304;
            (is_unchanged != is_changed).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn errors_are_not_hidden_from_clients_that_have_any_response() {
    let app = App::new(&["auth.token=s3cret"]).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    let status = format!("{}/status/1", serve.url());
    assert_eq!(ask(&app, Method::GET, &status, "*").await.status(), 401);
    let unknown = app.http.get(&status).bearer_auth("s3cret").header("If-None-Match", "*").send().await.unwrap();
    assert_eq!((unknown.status().as_u16(), header(&unknown, "cache-control")), (404, "no-store"));
    assert!(!unknown.headers().contains_key("etag"));
    assert_eq!(ask(&app, Method::GET, &format!("{}/leaderboard/nobody", game.url()), "*").await.status(), 404);
    assert_eq!(ask(&app, Method::GET, &format!("{}/leaderboard?limit=0", game.url()), "*").await.status(), 400);
}
