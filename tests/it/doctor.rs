//! The doctor: each subject is broken in turn, and the doctor reports it with advice.

use std::process::Command;

use diesel::RunQueryDsl;

use crate::harness::app::{App, Process, eventually};
use crate::harness::binary::Ran;
use crate::harness::pictures::{jpeg, truncated_jpeg};
use crate::harness::redis::TestRedis;

/// On another thread, because Redis may run on that of the test.
async fn run(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap()
}

/// The line of one subject.
fn line<'a>(ran: &'a Ran, subject: &str) -> &'a str {
    let of = |line: &&str| line.get(7..).is_some_and(|rest| rest.starts_with(subject));
    ran.stdout.lines().find(of).unwrap_or_else(|| panic!("no line of {subject}: {}", ran.stdout))
}

fn assert_wrong(ran: &Ran, subject: &str, detail: &str) {
    let line = line(ran, subject);
    assert!(line.starts_with("WRONG") && line.contains(detail) && line.contains(" -> "), "{line}");
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
}

async fn healthy() -> (App, Process) {
    let app = App::new(&[]).await;
    let up = app.up();
    app.until(up.url(), "ready").await;
    (app, up)
}

fn change(app: &App, statement: &str) {
    diesel::sql_query(statement).execute(&mut app.database()).unwrap();
}

#[tokio::test]
async fn every_check_passes_beside_a_running_installation() {
    let (app, up) = healthy().await;
    let accepted = app.upload(up.url(), 1, &jpeg(1)).await;
    app.outcome(up.url(), &accepted).await;
    app.assert_none_is_left_of(&["thumbnail", "warehouse"]).await;
    let subscribed = ["image_uploaded", "order_placed", "leaderboard_update"];
    for channel in subscribed {
        eventually("it listens", || async { (app.redis.listeners(channel).await > 0).then_some(()) }).await;
    }
    let ran = run(app.command(&["doctor"])).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    let subjects = [
        "configuration",
        "database",
        "WAL",
        "leases",
        "queue",
        "environment",
        "dead jobs",
        "clock",
        "Redis",
        "subscribers",
        "leaderboard",
        "image disk",
        "database disk",
        "originals",
        "mail templates",
        "mail links",
        "certificates",
        "TLS",
    ];
    for subject in subjects {
        assert!(line(&ran, subject).starts_with("ok "), "{}", line(&ran, subject));
    }
    assert_eq!(ran.stdout.lines().count(), subjects.len());
}

#[tokio::test]
async fn an_invalid_configuration_is_reported() {
    let app = App::new(&["serve.portt=1"]).await;
    assert_wrong(&run(app.command(&["doctor"])).await, "configuration", "serve.portt");
    let app = App::new(&["serve.host=0.0.0.0"]).await;
    assert_wrong(&run(app.command(&["doctor"])).await, "configuration", "0.0.0.0");
}

#[tokio::test]
async fn a_missing_outdated_newer_damaged_or_foreign_database_file_is_reported() {
    let app = App::new(&[]).await;
    assert_wrong(&run(app.command(&["doctor"])).await, "database", "does not exist");
    assert!(!app.dir.path().join("data").exists(), "the doctor creates nothing");

    app.dir.write("data/m3a3.db", vec![b'x'; 8192]);
    assert_wrong(&run(app.command(&["doctor"])).await, "database", "not a database");
    std::fs::remove_file(app.dir.path().join("data/m3a3.db")).unwrap();

    app.dir.write("data/m3a3.db", "");
    assert_wrong(&run(app.command(&["doctor"])).await, "database", "not up to date");
    assert_eq!(run(app.command(&["migrate"])).await.code, Some(0));
    assert!(line(&run(app.command(&["doctor"])).await, "database").starts_with("ok"));

    change(&app, "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");
    assert_wrong(&run(app.command(&["doctor"])).await, "database", "newer m3a3");
    change(&app, "DELETE FROM __diesel_schema_migrations WHERE version = '29991231000000'");

    change(&app, "PRAGMA wal_checkpoint(TRUNCATE)");
    let path = app.dir.path().join("data/m3a3.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // The second page on, where tables and indexes are.
    bytes[4096..].iter_mut().step_by(97).for_each(|byte| *byte ^= 0xff);
    std::fs::write(&path, bytes).unwrap();
    assert_wrong(&run(app.command(&["doctor"])).await, "database", "m3a3.db");
}

#[tokio::test]
async fn a_wal_that_has_grown_too_large_is_reported() {
    let app = App::new(&[]).await;
    assert_eq!(run(app.command(&["migrate"])).await.code, Some(0));
    let wal = app.dir.write("data/m3a3.db-wal", "");
    std::fs::File::options().write(true).open(wal).unwrap().set_len(300 << 20).unwrap();
    assert_wrong(&run(app.command(&["doctor"])).await, "WAL", "300 MiB");
}

#[tokio::test]
async fn an_unreachable_redis_or_one_without_subscribers_is_reported() {
    let mut app = App::new(&[]).await;
    assert_eq!(run(app.command(&["migrate"])).await.code, Some(0));
    let ran = run(app.command(&["doctor"])).await;
    let subscribers = line(&ran, "subscribers");
    assert!(
        subscribers.starts_with("note") && subscribers.contains("no subscriber of image_uploaded"),
        "{subscribers}"
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    app.redis.stop().await;
    assert_wrong(&run(app.command(&["doctor"])).await, "Redis", "refused");
}

#[tokio::test]
async fn a_wrong_redis_password_is_reported_without_showing_it() {
    let redis = TestRedis::with_password("r1ght").await;
    let wrong = format!("redis.url=redis://:h1dden@{}", redis.address());
    let app = App::with_redis(redis, &[&wrong]);
    assert_eq!(run(app.command(&["migrate"])).await.code, Some(0));
    let ran = run(app.command(&["doctor"])).await;
    assert_wrong(&ran, "Redis", &app.redis.address().to_string());
    assert!(line(&ran, "Redis").ends_with("check the username and the password in redis.url"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("h1dden"), "{}", ran.stdout);
}

#[tokio::test]
async fn an_unusable_image_root_and_broken_templates_are_reported() {
    let app = App::new(&[]).await;
    app.dir.write("file", "x");
    let ran = run(app.command(&["doctor", "--set", "images.root=file/pictures"])).await;
    assert_wrong(&ran, "image disk", "file is not a folder");
    app.dir.write("mails/order_confirmed.txt", "Subject: {{ oops\n\n");
    let ran = run(app.command(&["doctor", "--set", "email.templates=mails"])).await;
    assert_wrong(&ran, "mail templates", "order_confirmed.txt");
}

#[tokio::test]
async fn a_missing_url_of_confirmation_links_is_noted() {
    let app = App::new(&["auth.jwt.secret=0123456789abcdef0123456789abcdef", "serve.host=0.0.0.0"]).await;
    let ran = run(app.command(&["doctor"])).await;
    let noted = line(&ran, "mail links");
    assert!(noted.starts_with("note") && noted.ends_with(" -> set serve.public_url"), "{noted}");
    let ran = run(app.command(&["doctor", "--set", "serve.public_url=https://shop.example"])).await;
    assert!(line(&ran, "mail links").ends_with("links to https://shop.example"), "{}", ran.stdout);
}

#[tokio::test]
async fn missing_ca_certificates_are_reported_if_a_setting_uses_tls() {
    let app = App::new(&[]).await;
    let empty = app.dir.write("certificates/none.txt", "");
    let doctor = async |settings: &[&str]| {
        let mut command = app.command(&["doctor"]);
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        command.env("SSL_CERT_DIR", empty.parent().unwrap()).env("SSL_CERT_FILE", &empty);
        run(command).await
    };
    assert!(line(&doctor(&[]).await, "certificates").starts_with("ok"));
    let ran = doctor(&["webhook.url=https://shop.example", "email.smtp_url=smtp://mail.example"]).await;
    assert_wrong(&ran, "certificates", "webhook.url, email.smtp_url cannot be used without CA certificates: ");
    assert!(line(&ran, "certificates").contains("SSL_CERT_FILE"), "{}", ran.stdout);

    for (command, setting) in
        [("game-server", "webhook.url=https://shop.example"), ("worker", "email.smtp_url=smtps://mail.example")]
    {
        let mut command = app.command(&[command]);
        if setting.starts_with("email") {
            command.arg("email");
        }
        command.args(["--set", setting, "--set", "log.format=json"]);
        command.env("SSL_CERT_DIR", empty.parent().unwrap()).env("SSL_CERT_FILE", &empty);
        let mut process = Process::start(&mut command);
        assert!(process.stop().success());
        let log = process.stderr();
        let key = setting.split('=').next().unwrap();
        let reported = log.lines().filter(|line| line.contains("TLS cannot be used without CA certificates"));
        let reported: Vec<_> = reported.collect();
        assert!(reported.len() == 1 && reported[0].contains(&format!("\"setting\":\"{key}\"")), "{log}");
    }
}

#[tokio::test]
async fn a_full_disk_is_reported() {
    let (app, _up) = healthy().await;
    let ran = run(app.command(&["doctor", "--set", &format!("serve.min_free_bytes={}", 1_u64 << 60)])).await;
    assert_wrong(&ran, "image disk", "required");
    assert_wrong(&ran, "database disk", "required");
    let ran = run(app.command(&["doctor", "--set", &format!("jobs.min_free_bytes={}", 1_u64 << 60)])).await;
    assert_wrong(&ran, "database disk", "workers claim no jobs");
}

#[tokio::test]
async fn damaged_uploads_are_reported() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let file = app.dir.path().join("data").join(accepted["imagePath"].as_str().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_wrong(&run(app.command(&["doctor"])).await, "originals", "1 of 1 sampled are damaged, such as uploads/");
    {
        let _worker = app.worker();
        eventually("it is in quarantine", || async { (!file.exists()).then_some(()) }).await;
    }
    let ran = run(app.command(&["doctor"])).await;
    let originals = line(&ran, "originals");
    assert!(originals.starts_with("note") && originals.contains("1 damaged ones in uploads/.damaged"), "{originals}");
}

#[tokio::test]
async fn expired_leases_are_reported() {
    let app = App::new(&[]).await;
    let mut serve = app.serve();
    app.upload(serve.url(), 1, &jpeg(1)).await;
    assert!(serve.stop().success());
    let hold = "UPDATE jobs SET state = 'running', lease_owner = 'gone', lease_until = 1000, started_at = 1
        WHERE kind = 'thumbnail'";
    change(&app, hold);
    let ran = run(app.command(&["doctor"])).await;
    assert_wrong(&ran, "leases", "1 have expired, that of thumbnail job");
    assert!(line(&ran, "leases").ends_with("start `m3a3 worker thumbnail`, which rescues such jobs"));
}

#[tokio::test]
async fn overdue_and_dead_jobs_are_reported() {
    let app = App::new(&[]).await;
    let mut serve = app.serve();
    app.upload(serve.url(), 1, &jpeg(1)).await;
    let bad = app.upload(serve.url(), 2, &truncated_jpeg()).await;
    change(&app, "UPDATE jobs SET run_at = run_at - 100000");
    let ran = run(app.command(&["doctor"])).await;
    assert_wrong(&ran, "queue", "2 thumbnail jobs wait");
    {
        let _worker = app.worker();
        app.outcome(serve.url(), &bad).await;
        app.assert_no_job_is_left().await;
    }
    assert!(serve.stop().success());
    let ran = run(app.command(&["doctor"])).await;
    let (queue, dead) = (line(&ran, "queue"), line(&ran, "dead jobs"));
    assert!(queue.starts_with("note") && queue.contains("warehouse jobs wait"), "{queue}");
    assert!(dead.starts_with("note") && dead.contains("1 thumbnail") && dead.contains("jobs retry"), "{dead}");
    assert_eq!(ran.code, Some(0), "an optional worker that is missing is not an error: {}", ran.stdout);
}

#[tokio::test]
async fn a_clock_that_was_set_back_is_reported() {
    let app = App::new(&[]).await;
    let mut serve = app.serve();
    app.upload(serve.url(), 1, &jpeg(1)).await;
    assert!(serve.stop().success());
    change(&app, "UPDATE jobs SET created_at = created_at + 3600000");
    assert_wrong(&run(app.command(&["doctor"])).await, "clock", "but a job was created at");
}
