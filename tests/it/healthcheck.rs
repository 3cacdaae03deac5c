//! `m3a3 healthcheck`: exit codes and texts for each state of a server.

use std::net::TcpListener;

use serde_json::json;

use crate::harness::app::App;
use crate::harness::binary::{Ran, Workdir};
use crate::harness::scripted_api::{Answer, ScriptedApi};

fn check(args: &[&str]) -> Ran {
    Workdir::new().run(&[&["healthcheck"], args].concat())
}

#[test]
fn a_ready_or_degraded_server_is_healthy_and_any_other_is_not() {
    let answers = [
        Answer::Json(200, json!({ "status": "ready", "checks": { "redis": "ok" } })),
        Answer::Json(200, json!({ "status": "degraded", "checks": { "database": "ok", "redis": "not connected" } })),
        Answer::Json(503, json!({ "status": "unavailable", "checks": { "disk": "only 5 bytes are free" } })),
        Answer::Json(502, json!(null)),
        Answer::Json(401, json!({ "detail": "No token." })),
        Answer::Json(200, json!("a page of another program")),
        Answer::Json(200, json!({ "status": "ok" })),
    ];
    let api = ScriptedApi::start().on("GET /readyz", answers);
    let expected = "(expected the status ready or degraded; is it m3a3?)";
    let text = |status: &str| format!("API server at {}: {status}\n", api.url);
    for (code, stdout, stderr) in [
        (0, text("ready"), String::new()),
        (0, text("degraded; redis: not connected"), String::new()),
        (1, String::new(), format!("m3a3: {}", text("unavailable; disk: only 5 bytes are free"))),
        (1, String::new(), format!("m3a3: {}", text("the server responded with 502 Bad Gateway"))),
        (1, String::new(), format!("m3a3: {}", text("No token."))),
        (1, String::new(), format!("m3a3: {}", text(&format!("the server responded with 200 OK {expected}")))),
        (1, String::new(), format!("m3a3: {}", text(&format!("ok {expected}")))),
    ] {
        let ran = check(&["--url", &api.url]);
        assert_eq!((ran.code, ran.stdout, ran.stderr), (Some(code), stdout, stderr));
    }
}

#[test]
fn a_live_server_has_the_status_ok() {
    let answers = [Answer::Json(200, json!({ "status": "ok" })), Answer::Json(200, json!({ "status": "ready" }))];
    let api = ScriptedApi::start().on("GET /healthz", answers);
    let check = || check(&["--live", "--url", &api.url]).code;
    assert_eq!((check(), check()), (Some(0), Some(1)));
}

#[test]
fn a_server_that_does_not_answer_in_time_is_not_healthy() {
    // Accepts connections and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let ran = check(&["--url", &url, "--timeout-s", "0.1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.starts_with(&format!("m3a3: no answer from {url}")), "{}", ran.stderr);
    drop(silent);
    let ran = check(&["--url", &url]);
    assert!(ran.code == Some(1) && ran.stderr.contains("Connection refused (os error 111)"), "{}", ran.stderr);
    assert_eq!(check(&["worker"]).code, Some(2));
    assert_eq!(check(&["--timeout-s", "-1"]).code, Some(2));
}

#[tokio::test]
async fn both_servers_pass_with_a_token_and_without_storage_only_live() {
    let app = App::new(&["auth.token=secret"]).await;
    let (serve, game) = (app.serve(), app.ready_game_server().await);
    let run = async |args: &[&str]| {
        let mut command = app.dir.command(&[&["healthcheck"], args].concat());
        tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap()
    };
    for (url, server) in [(serve.url(), "api"), (game.url(), "game")] {
        app.until(url, "ready").await;
        assert_eq!(run(&[server, "--url", url]).await.code, Some(0));
    }
    let full = App::new(&[&format!("serve.min_free_bytes={}", 1_u64 << 60)]).await;
    let serve = full.serve();
    let ran = run(&["--url", serve.url()]).await;
    assert!(ran.code == Some(1) && ran.stderr.contains(": unavailable; "), "{}", ran.stderr);
    let ran = run(&["--live", "--url", serve.url()]).await;
    assert_eq!((ran.code, ran.stdout), (Some(0), format!("API server at {}: ok\n", serve.url())));
}
