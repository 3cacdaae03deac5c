//! The webhook, with a real receiver that fails, hangs, redirects and recovers.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use diesel::RunQueryDsl;
use rand::RngExt;
use serde_json::json;
use standardwebhooks::Webhook;

use crate::harness::app::{App, Process, eventually, webhooks};
use crate::harness::binary::Workdir;
use crate::harness::ports::free_address;
use crate::harness::receiver::{AUTHORITY, Answer, Delivery, Receiver, UNTRUSTED_CERTIFICATE, start_tls};

const SIGNING_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// An installation with this webhook URL.
async fn reporting_to(url: &str, settings: &[&str]) -> App {
    let url = format!("webhook.url={url}");
    App::new(&[&[url.as_str()], settings].concat()).await
}

async fn place(app: &App, server: &Process, order: &str) {
    let (status, answer) = app.place_order(server.url(), order, "u-7").await;
    assert_eq!(status, 200, "{answer}");
}

fn names(delivery: &Delivery) -> Vec<&str> {
    let mut names: Vec<_> = delivery.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_purchase_is_reported_byte_for_byte() {
    let receiver = Receiver::always(Answer::Status(204));
    let app = reporting_to(&receiver.url, &[]).await;
    let server = app.game_server();
    place(&app, &server, "o-\"1\" é").await;
    let delivery = receiver.until(1).await.remove(0);
    let (_, order) = app.get(server.url(), "/orders/o-%221%22%20%C3%A9").await;
    let placed_at = order["placedAt"].as_str().unwrap();
    let body = format!(
        "{{\"event\":\"PURCHASE_COMPLETED\",\"timeStamp\":\"{placed_at}\",\"metadata\":{{\"order_id\":\"o-\\\"1\\\" é\",\
         \"customer_id\":\"u-7\",\"platform\":\"customer-backend\"}}}}"
    );
    assert_eq!(String::from_utf8_lossy(&delivery.body), body);
    assert_eq!(delivery.line, "POST /hooks?shop=1");
    assert_eq!(delivery.header("content-type"), Some("application/json"));
    // Without secrets, their headers are absent.
    assert_eq!(names(&delivery), ["accept", "content-length", "content-type", "host", "user-agent"]);
    app.assert_no_job_is_left().await;
    assert_eq!(receiver.deliveries().len(), 1);
}

#[tokio::test]
async fn a_purchase_is_reported_with_secret_and_signature_which_are_never_logged() {
    let receiver = Receiver::scripted(|_, before| Answer::Status(if before == 0 { 500 } else { 200 }));
    let with_password = receiver.url.replace("http://", "http://shop:p4ssw0rd@");
    let signing = format!("webhook.signing_secret={SIGNING_SECRET}");
    let settings = ["webhook.secret=s3cret", &signing, "log.level=trace", "jobs.retry_base_s=0.3"];
    let app = reporting_to(&with_password, &settings).await;
    let mut server = app.game_server();
    place(&app, &server, "o-1").await;
    let failed = app.order_until(server.url(), "o-1", |jobs| jobs[0]["error"].is_string()).await;
    let deliveries = receiver.until(2).await;
    for delivery in &deliveries {
        assert_eq!(delivery.header("x-webhook-secret"), Some("s3cret"));
        assert_eq!(delivery.header("authorization"), Some("Basic c2hvcDpwNHNzdzByZA=="));
        Webhook::new(SIGNING_SECRET).unwrap().verify(&delivery.body, &delivery.headers).unwrap();
        let forged = Webhook::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oE").unwrap();
        assert!(forged.verify(&delivery.body, &delivery.headers).is_err());
    }
    app.assert_no_job_is_left().await;
    assert!(server.stop().success());
    let output = format!("{}{failed}", server.stderr());
    for secret in ["s3cret", "p4ssw0rd", "c2hvcDpwNHNzdzByZA", "C2FVsBQIhrscChlQIMV"] {
        assert!(!output.contains(secret), "{secret} is in: {output}");
    }
}

#[tokio::test]
async fn a_delivery_that_fails_five_times_is_repeated_with_the_same_message() {
    const BASE: Duration = Duration::from_millis(100);
    let receiver = Receiver::scripted(|_, before| Answer::Status([500, 404, 429, 503, 400, 200][before]));
    let signing = format!("webhook.signing_secret={SIGNING_SECRET}");
    let settings = [&signing, "jobs.retry_base_s=0.1", "jobs.sweep_interval_s=0.02", "jobs.max_attempts=1"];
    let app = reporting_to(&receiver.url, &settings).await;
    let server = app.game_server();
    place(&app, &server, "o-1").await;
    place(&app, &server, "o-1").await;
    let order = app.order_until(server.url(), "o-1", |jobs| jobs[0]["state"] == "done").await;
    assert_eq!(webhooks(&order), json!([{ "kind": "webhook", "state": "done", "attempts": 6 }]));
    let deliveries = receiver.deliveries();
    assert_eq!(deliveries.len(), 6);
    let ids: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.header("webhook-id").unwrap()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert!(deliveries.iter().all(|delivery| delivery.body == deliveries[0].body));
    for delivery in &deliveries {
        Webhook::new(SIGNING_SECRET).unwrap().verify(&delivery.body, &delivery.headers).unwrap();
    }
    for (retry, pair) in deliveries.windows(2).enumerate() {
        // At least half of a doubling delay; job times are in milliseconds.
        let shortest = BASE * 2_u32.pow(retry as u32) / 2 - Duration::from_millis(2);
        assert!(pair[1].at - pair[0].at >= shortest, "retry {retry} came after {:?}", pair[1].at - pair[0].at);
    }
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_purchase_that_is_always_refused_is_dead_after_twenty_attempts() {
    let receiver = Receiver::always(Answer::Status(500));
    let settings = ["jobs.retry_base_s=3600", "jobs.sweep_interval_s=0.02"];
    let app = reporting_to(&receiver.url, &settings).await;
    let mut server = app.game_server();
    place(&app, &server, "o-1").await;
    let due = "UPDATE jobs SET run_at = 0 WHERE state = 'queued'";
    eventually("it is given up", || async {
        // Skips delays of hours.
        diesel::sql_query(due).execute(&mut app.database()).unwrap();
        let (_, order) = app.get(server.url(), "/orders/o-1").await;
        (order["jobs"][0]["state"] == "dead").then_some(())
    })
    .await;
    let error = "the receiver answered 500 Internal Server Error";
    let job = json!({ "kind": "webhook", "state": "dead", "attempts": 20, "error": error });
    assert_eq!(webhooks(&app.get(server.url(), "/orders/o-1").await.1), json!([job]));
    place(&app, &server, "o-1").await;
    app.assert_no_job_is_left().await;
    assert_eq!(receiver.deliveries().len(), 20);
    assert!(server.stop().success());
    let log = server.stderr();
    assert!(log.contains("purchase not reported") && log.contains("o-1"), "{log}");
}

#[tokio::test]
async fn a_receiver_that_answers_410_gets_no_further_attempts() {
    let receiver = Receiver::always(Answer::Status(410));
    let app = reporting_to(&receiver.url, &[]).await;
    let server = app.game_server();
    place(&app, &server, "o-1").await;
    let order = app.order_until(server.url(), "o-1", |jobs| jobs[0]["state"] == "dead").await;
    assert!(order["jobs"][0]["error"].as_str().unwrap().contains("410 Gone"), "{order}");
    app.assert_no_job_is_left().await;
    assert_eq!(receiver.deliveries().len(), 1);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = Receiver::always(Answer::Status(200));
    let to = elsewhere.url.clone();
    let receiver = Receiver::scripted(move |_, before| match before {
        0 => Answer::Redirect(to.clone()),
        _ => Answer::Status(200),
    });
    let app = reporting_to(&receiver.url, &["jobs.retry_base_s=0.5"]).await;
    let server = app.game_server();
    place(&app, &server, "o-1").await;
    let order = app.order_until(server.url(), "o-1", |jobs| jobs[0]["error"].is_string()).await;
    let error = "the receiver answered 302 Found, but redirects are not followed; \
                 webhook.url has to be the final address";
    assert!(order["jobs"][0]["state"] == "done" || order["jobs"][0]["error"] == error, "{order}");
    app.assert_no_job_is_left().await;
    assert_eq!((receiver.deliveries().len(), elsewhere.deliveries().len()), (2, 0));
}

#[tokio::test]
async fn orders_at_which_the_receiver_hangs_delay_no_others() {
    // One after the other, the seven that hang would take five seconds each, longer than the deadline of the test.
    let receiver = Receiver::scripted(|order, before| match order.starts_with("slow") && before == 0 {
        true => Answer::Silence,
        false => Answer::Status(200),
    });
    let app = reporting_to(&receiver.url, &["jobs.retry_base_s=0.5"]).await;
    let server = app.game_server();
    for order in 0..7 {
        place(&app, &server, &format!("slow-{order}")).await;
    }
    for order in 0..20 {
        place(&app, &server, &format!("o-{order}")).await;
    }
    let others = || receiver.deliveries().iter().filter(|delivery| delivery.order().starts_with("o-")).count();
    eventually("all others are delivered", || async { (others() == 20).then_some(()) }).await;
    let timed_out = app.order_until(server.url(), "slow-0", |jobs| jobs[0]["error"].is_string()).await;
    let job = &timed_out["jobs"][0];
    assert!(job["state"] == "done" || job["error"] == "the receiver did not answer within 5 s", "{timed_out}");
    app.assert_no_job_is_left().await;
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'done'"), 27);
    assert_eq!(others(), 20);
}

#[tokio::test]
async fn the_status_of_an_endless_response_is_sufficient() {
    let receiver = Receiver::always(Answer::EndlessBody);
    let app = reporting_to(&receiver.url, &["jobs.retry_base_s=3600"]).await;
    let server = app.game_server();
    for order in 0..20 {
        place(&app, &server, &format!("o-{order}")).await;
    }
    app.assert_no_job_is_left().await;
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'done' AND attempts = 0"), 20);
    assert_eq!(receiver.deliveries().len(), 20);
}

#[tokio::test]
async fn a_receiver_gets_all_purchases_after_an_outage() {
    let address = free_address();
    let url = format!("http://shop:p4ssw0rd@{address}/hooks");
    let app = reporting_to(&url, &[]).await;
    let server = app.game_server();
    for order in 0..5 {
        place(&app, &server, &format!("o-{order}")).await;
    }
    let failed = app.order_until(server.url(), "o-0", |jobs| jobs[0]["error"].is_string()).await;
    let error = failed["jobs"][0]["error"].as_str().unwrap();
    assert!(error.starts_with("the receiver cannot be reached: ") && error.contains("refused"), "{error}");
    assert!(!error.contains("p4ssw0rd"), "{error}");
    let receiver = Receiver::listening(address, |_, _| Answer::Status(200));
    app.assert_no_job_is_left().await;
    assert_eq!(receiver.deliveries().len(), 5);
}

#[tokio::test]
async fn a_response_that_is_not_http_is_a_failed_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = reporting_to(&url, &["jobs.retry_base_s=3600"]).await;
    let mut server = app.game_server();
    let speaking = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"220 mail.example ESMTP\r\n").unwrap();
    });
    place(&app, &server, "o-1").await;
    let failed = app.order_until(server.url(), "o-1", |jobs| jobs[0]["error"].is_string()).await;
    assert_eq!(failed["jobs"][0]["state"], "queued", "{failed}");
    speaking.join().unwrap();
    assert!(server.stop().success());
}

#[tokio::test]
async fn a_kill_during_a_delivery_loses_nothing() {
    let receiver = Receiver::scripted(|_, before| match before {
        0 => Answer::Silence,
        _ => Answer::Status(200),
    });
    let signing = format!("webhook.signing_secret={SIGNING_SECRET}");
    let app = reporting_to(&receiver.url, &[&signing, "jobs.lease_s=600"]).await;
    let mut server = app.game_server();
    place(&app, &server, "o-1").await;
    receiver.until(1).await;
    server.kill();
    let next = app.game_server();
    app.order_until(next.url(), "o-1", |jobs| jobs[0]["state"] == "done").await;
    let deliveries = receiver.deliveries();
    assert_eq!(deliveries.len(), 2);
    assert_eq!(deliveries[0].body, deliveries[1].body);
    assert_eq!(deliveries[0].header("webhook-id"), deliveries[1].header("webhook-id"));
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn a_kill_between_order_and_delivery_loses_nothing() {
    let address = free_address();
    let app = reporting_to(&format!("http://{address}/"), &[]).await;
    let mut server = app.game_server();
    place(&app, &server, "o-1").await;
    server.kill();
    let receiver = Receiver::listening(address, |_, _| Answer::Status(200));
    let next = app.game_server();
    app.order_until(next.url(), "o-1", |jobs| jobs[0]["state"] == "done").await;
    app.assert_no_job_is_left().await;
    assert_eq!(receiver.deliveries().len(), 1);
}

#[tokio::test]
async fn random_kills_lose_no_accepted_order() {
    const KILLS: usize = 8;
    const PART: usize = 10;
    let receiver = Receiver::scripted(|_, before| Answer::Status(if before == 0 { 503 } else { 200 }));
    let app = reporting_to(&receiver.url, &[]).await;
    let mut servers = [app.game_server(), app.game_server()];
    let mut accepted = BTreeSet::new();
    for kill in 0..KILLS {
        for order in 0..PART {
            let order = format!("o-{kill}-{order}");
            place(&app, &servers[rand::rng().random_range(0..2)], &order).await;
            accepted.insert(order);
        }
        let server = &mut servers[kill % 2];
        server.kill();
        *server = app.game_server();
    }
    app.assert_no_job_is_left().await;
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state = 'done'"), (KILLS * PART) as i64);
    let reported: BTreeSet<String> = receiver.deliveries().iter().map(Delivery::order).collect();
    assert_eq!(reported, accepted);
}

#[tokio::test]
async fn two_game_servers_report_each_purchase_once() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = reporting_to(&receiver.url, &[]).await;
    let servers = [app.game_server(), app.game_server()];
    let orders: Vec<String> = (0..60).map(|order| format!("o-{order}")).collect();
    let placing = orders.iter().enumerate().map(|(number, order)| place(&app, &servers[number % 2], order));
    futures_util::future::join_all(placing).await;
    app.assert_no_job_is_left().await;
    let mut reported: Vec<String> = receiver.deliveries().iter().map(Delivery::order).collect();
    reported.sort();
    let mut expected = orders;
    expected.sort();
    assert_eq!(reported, expected);
}

#[tokio::test]
async fn without_a_webhook_no_job_is_created_and_the_start_logs_one_line() {
    let app = App::new(&[]).await;
    let mut server = app.game_server();
    place(&app, &server, "o-1").await;
    assert_eq!(webhooks(&app.get(server.url(), "/orders/o-1").await.1), json!([]));
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'webhook'"), 0);
    assert!(server.stop().success());
    let log = server.stderr();
    assert_eq!(log.lines().filter(|line| line.contains("webhook")).count(), 1, "{log}");
}

#[tokio::test]
async fn up_reports_purchases_too() {
    let receiver = Receiver::always(Answer::Status(200));
    let game = free_address();
    let settings = [format!("game.port={}", game.port())];
    let app = reporting_to(&receiver.url, &settings.each_ref().map(String::as_str)).await;
    let _up = app.up();
    assert_eq!(app.place_order(&format!("http://{game}"), "o-1", "u").await.0, 200);
    receiver.until(1).await;
    app.assert_no_job_is_left().await;
}

#[test]
fn a_signing_secret_that_cannot_be_used_is_a_configuration_error() {
    let dir = Workdir::new();
    for bad in
        ["C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_", "whsec_not base64!", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7o"]
    {
        let setting = format!("webhook.signing_secret={bad}");
        let ran = dir.run(&["game-server", "--port", "0", "--set", &setting]);
        assert_eq!((ran.code, ran.stderr.lines().count()), (Some(2), 1), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("webhook.signing_secret") && ran.stderr.contains("expected whsec_ followed by the key"),
            "{}",
            ran.stderr
        );
        assert!(!ran.stderr.contains("C2FV"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used_except_for_loopback_addresses() {
    let proxy = Receiver::always(Answer::Status(200));
    let receiver = Receiver::always(Answer::Status(200));
    let with_proxy = |app: &App| {
        let address = proxy.url.split("/hooks").next().unwrap();
        Process::start(app.command(&["game-server"]).env("HTTP_PROXY", address))
    };
    for (url, line, at) in [
        ("http://shop.example/hooks", "POST http://shop.example/hooks", &proxy),
        (&receiver.url, "POST /hooks?shop=1", &receiver),
    ] {
        let app = reporting_to(url, &[]).await;
        let server = with_proxy(&app);
        place(&app, &server, "o-1").await;
        assert_eq!(at.until(1).await[0].line, line);
        app.assert_no_job_is_left().await;
    }
    assert_eq!((proxy.deliveries().len(), receiver.deliveries().len()), (1, 1));
}

/// A machine without CA certificates.
fn bare(app: &App) -> Process {
    let none = app.dir.write("no-certificates.pem", "");
    let folder = app.dir.path().join("no-certificates");
    std::fs::create_dir_all(&folder).unwrap();
    Process::start(app.command(&["game-server"]).env("SSL_CERT_FILE", none).env("SSL_CERT_DIR", folder))
}

#[tokio::test]
async fn plain_http_needs_no_certificates() {
    let receiver = Receiver::always(Answer::Status(200));
    let app = reporting_to(&receiver.url, &[]).await;
    let server = bare(&app);
    place(&app, &server, "o-1").await;
    app.order_until(server.url(), "o-1", |jobs| jobs[0]["state"] == "done").await;
    app.assert_no_job_is_left().await;
}

#[tokio::test]
async fn https_without_certificates_has_a_clear_error_and_is_retried() {
    let app = reporting_to("https://127.0.0.1:9/hooks", &["jobs.retry_base_s=3600"]).await;
    let mut server = bare(&app);
    place(&app, &server, "o-1").await;
    let failed = app.order_until(server.url(), "o-1", |jobs| jobs[0]["error"].is_string()).await;
    let job = &failed["jobs"][0];
    assert_eq!(job["state"], "queued", "{failed}");
    assert!(job["error"].as_str().unwrap().contains("are CA certificates installed?"), "{failed}");
    assert!(server.stop().success());
}

#[tokio::test]
async fn https_webhooks_are_delivered_only_to_receivers_with_a_trusted_certificate() {
    let app = reporting_to(&format!("https://127.0.0.1:{}/hooks", start_tls()), &["jobs.retry_base_s=3600"]).await;
    let untrusted = app.dir.write("authority.pem", UNTRUSTED_CERTIFICATE);
    let mut server = Process::start(app.command(&["game-server"]).env("SSL_CERT_FILE", untrusted));
    place(&app, &server, "o-1").await;
    let failed = app.order_until(server.url(), "o-1", |jobs| jobs[0]["error"].is_string()).await;
    let error = failed["jobs"][0]["error"].as_str().unwrap();
    assert!(error.contains("certificate"), "{error}");
    server.kill();

    let server = Process::start(app.command(&["game-server"]).env("SSL_CERT_FILE", AUTHORITY));
    diesel::sql_query("UPDATE jobs SET run_at = 0").execute(&mut app.database()).unwrap();
    app.order_until(server.url(), "o-1", |jobs| jobs[0]["state"] == "done").await;
    app.assert_no_job_is_left().await;
}
