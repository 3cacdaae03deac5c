//! The log: its filter, its format, and what its lines contain.

use serde_json::Value;

use crate::harness::app::{App, Process, eventually};
use crate::harness::binary::Workdir;
use crate::harness::pictures::{jpeg, truncated_jpeg};
use crate::harness::redis::TestRedis;

/// The events of a process that has exited, which logs JSON.
fn events(mut process: Process) -> Vec<Value> {
    let text = process.stderr();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")));
    events.collect()
}

fn event<'a>(events: &'a [Value], message: &str) -> &'a Value {
    events.iter().find(|event| event["message"] == message).unwrap_or_else(|| panic!("no {message}: {events:#?}"))
}

/// The names and values of all fields, also of spans.
fn fields(event: &Value) -> Vec<(&str, &Value)> {
    let object = event.as_object().unwrap().iter();
    object
        .flat_map(|(name, value)| if value.is_object() { fields(value) } else { vec![(name.as_str(), value)] })
        .collect()
}

#[test]
fn an_invalid_level_stops_the_start_and_suggests_a_level() {
    let workdir = Workdir::new();
    // It ends by itself, unlike a server.
    for (level, got, suggestion) in [
        ("inof", "inof", "; did you mean info?"),
        ("info,m3a3=inof", "m3a3=inof", "; did you mean m3a3=info?"),
        ("m3a3::jobs=loud", "m3a3::jobs=loud", "m3a3::jobs=debug\""),
    ] {
        let ran = workdir.run(&["migrate", "--log-level", level]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{level}");
        let start = format!("m3a3: log.level (--log-level): got {got:?}, expected error, warn, ");
        assert!(ran.stderr.starts_with(&start) && ran.stderr.ends_with(&format!("{suggestion}\n")), "{}", ran.stderr);
    }
    assert!(!workdir.path().join("data").exists(), "nothing was started");
}

#[tokio::test]
async fn json_lines_contain_numbers_as_numbers_and_nothing_in_debug_format() {
    let app = App::new(&["log.format=json", "log.requests=true", "log.level=info,m3a3=debug"]).await;
    let mut up = app.up();
    let good = app.upload(up.url(), 1, &jpeg(1)).await;
    let bad = app.upload(up.url(), 2, &truncated_jpeg()).await;
    assert_eq!(app.outcome(up.url(), &good).await["status"], "done");
    assert_eq!(app.outcome(up.url(), &bad).await["status"], "failed");
    app.assert_no_job_is_left().await;
    assert!(up.stop().success());

    let events = events(up);
    let number = |message: &str, field: &str| {
        let event = event(&events, message);
        fields(event).into_iter().any(|(name, value)| name == field && value.is_number())
    };
    for (message, field) in [
        ("job done", "duration_ms"),
        ("job done", "attempt"),
        ("job done", "user.id"),
        ("request finished", "duration_ms"),
        ("request finished", "status"),
        ("received a signal, draining", "grace_s"),
    ] {
        assert!(number(message, field), "{field} of {}", event(&events, message));
    }
    assert_eq!(event(&events, "received a signal, draining")["signal"], "SIGTERM");
    for event in &events {
        for (name, value) in fields(event) {
            let Some(text) = value.as_str() else { continue };
            // A request id is random hex, which may look like a number: 1234567e-5.
            assert!(text.parse::<f64>().is_err() || name == "request.id", "{name} is a number: {event}");
            for debug in ["Some(", "None", " { ", "Ok(", "Err("] {
                assert!(!text.contains(debug), "{name} is in debug format: {event}");
            }
        }
    }
    assert!(!events.iter().any(|event| event["target"].as_str().unwrap().starts_with("actix_server")));
}

#[tokio::test]
async fn an_unreachable_redis_is_logged_with_the_text_of_the_system() {
    for (url, reason) in [
        (TestRedis::down().url(), "Connection refused (os error 111)"),
        ("redis://m3a3.invalid".to_owned(), "failed to lookup address information: "),
    ] {
        let app = App::with_redis(TestRedis::down(), &["log.format=json", &format!("redis.url={url}")]);
        let mut server = app.serve();
        eventually("it runs", || async { (app.get(server.url(), "/healthz").await.0 == 200).then_some(()) }).await;
        assert!(server.stop().success());
        let events = events(server);
        let error = event(&events, "Redis is unreachable, retrying")["error"].as_str().unwrap();
        assert!(error.starts_with(reason), "{error}");
    }
}
