//! `/metrics`: samples and access.

use std::collections::HashMap;

use serde_json::json;

use crate::harness::app::{App, eventually};
use crate::harness::feed::Feed;
use crate::harness::pictures::jpeg;
use crate::harness::problem::assert_refused;

/// The samples of a scrape by name and labels; checks the format.
async fn scrape(app: &App, url: &str) -> HashMap<String, f64> {
    let response = app.http.get(format!("{url}/metrics")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let content_type = response.headers()["content-type"].to_str().unwrap();
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = response.text().await.unwrap();
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

/// Waits until a sample has this value.
async fn until(app: &App, url: &str, name: &str, value: f64) {
    eventually(&format!("{name} is {value}"), || async {
        (scrape(app, url).await.get(name) == Some(&value)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_are_counted_by_the_pattern_of_their_route() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let url = serve.url();
    for path in ["/status/1", "/status/2", "/status/x", "/nowhere", "/nowhere/either"] {
        app.get(url, path).await;
    }
    app.post(url, "/status/1", &json!({})).await;
    let samples = scrape(&app, url).await;
    let requests = |labels: &str| samples[&format!("m3a3_http_requests_total{{{labels}}}")];
    // Two unknown users, and an invalid id.
    assert_eq!(requests("route=\"/status/{user_id}\",method=\"GET\",status=\"4xx\""), 3.0);
    assert_eq!(requests("route=\"/status/{user_id}\",method=\"POST\",status=\"4xx\""), 1.0);
    assert_eq!(requests("route=\"none\",method=\"GET\",status=\"4xx\""), 2.0);
    let durations = |suffix: &str| samples[&format!("m3a3_http_request_duration_seconds_{suffix}")];
    assert_eq!(durations("count{route=\"/status/{user_id}\"}"), 4.0);
    assert_eq!(durations("bucket{le=\"+Inf\",route=\"/status/{user_id}\"}"), 4.0);
    assert!(durations("sum{route=\"/status/{user_id}\"}") > 0.0);
    // The previous scrape is counted, this one not yet.
    let again = scrape(&app, url).await;
    assert_eq!(again["m3a3_http_requests_total{route=\"/metrics\",method=\"GET\",status=\"2xx\"}"], 1.0);
}

#[tokio::test]
async fn the_api_server_has_metrics_of_jobs_polls_redis_and_the_process() {
    let mut app = App::new(&["jobs.max_attempts=1"]).await;
    let serve = app.serve();
    let url = serve.url();
    app.until(url, "ready").await;
    app.upload(url, 1, &jpeg(1)).await;
    app.enqueue(url, &json!({ "userId": 2, "imagePath": "nowhere.jpg" })).await;
    let poll = tokio::spawn(app.http.get(format!("{url}/status-live/1?timeout=60")).send());
    until(&app, url, "m3a3_held_polls", 1.0).await;
    let samples = scrape(&app, url).await;
    assert_eq!(samples["m3a3_jobs{kind=\"thumbnail\",state=\"queued\"}"], 2.0);
    assert_eq!(samples["m3a3_jobs{kind=\"thumbnail\",state=\"dead\"}"], 0.0);
    assert!(samples["m3a3_jobs_overdue_seconds{kind=\"thumbnail\"}"] > 0.0);
    assert_eq!(samples[&format!("m3a3_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))], 1.0);
    assert!(samples["process_resident_memory_bytes"] > 1e6 && samples["process_cpu_seconds_total"] > 0.0);
    assert!(samples["process_open_fds"] < samples["process_max_fds"]);

    let _worker = app.worker();
    assert_eq!(poll.await.unwrap().unwrap().status(), 200);
    until(&app, url, "m3a3_held_polls", 0.0).await;
    until(&app, url, "m3a3_jobs{kind=\"thumbnail\",state=\"dead\"}", 1.0).await;
    until(&app, url, "m3a3_jobs{kind=\"thumbnail\",state=\"queued\"}", 0.0).await;

    assert_eq!(scrape(&app, url).await["m3a3_redis_connected"], 1.0);
    app.redis.stop().await;
    until(&app, url, "m3a3_redis_connected", 0.0).await;
    app.upload(url, 1, &jpeg(2)).await;
    // It is retried before it is dropped.
    eventually("the message is counted as dropped", || async {
        (scrape(&app, url).await["m3a3_redis_messages_dropped_total"] > 0.0).then_some(())
    })
    .await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn the_game_server_has_metrics_of_players_and_subscribers() {
    let mut app = App::new(&[]).await;
    let server = app.game_server();
    let url = server.url();
    app.until(url, "ready").await;
    app.post(url, "/seed", &json!({})).await;
    let mut feed = Feed::open(&app.http, url).await;
    feed.board().await;
    let samples = scrape(&app, url).await;
    assert_eq!((samples["m3a3_players"], samples["m3a3_feeds"], samples["m3a3_sockets"]), (10.0, 1.0, 0.0));
    drop(feed);
    until(&app, url, "m3a3_feeds", 0.0).await;
    // Metrics that need Redis are omitted.
    app.redis.stop().await;
    app.until(url, "degraded").await;
    assert!(!scrape(&app, url).await.contains_key("m3a3_players"));
}

#[tokio::test]
async fn metrics_need_the_admin_token_or_without_one_the_api_token() {
    for (settings, right, wrong, status) in [
        (&["auth.token=t0ken"][..], "t0ken", "other", 401),
        (&["auth.token=t0ken", "auth.admin_token=adm1n"], "adm1n", "t0ken", 403),
    ] {
        let app = App::new(settings).await;
        for process in [app.serve(), app.game_server()] {
            let get = || app.http.get(format!("{}/metrics", process.url()));
            assert_refused("no token", get(), 401, "Bearer").await;
            assert_refused("another token", get().bearer_auth(wrong), status, "token").await;
            assert_eq!(get().bearer_auth(right).send().await.unwrap().status(), 200);
        }
    }
}
