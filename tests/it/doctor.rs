//! The doctor: each thing that m3a3 stands on is broken in turn, and the doctor says so and what to do.

use std::process::Command;

use diesel::RunQueryDsl;

use crate::harness::app::{App, eventually};
use crate::harness::binary::Ran;
use crate::harness::pictures::{jpeg, truncated_jpeg};
use crate::harness::redis::TestRedis;

/// On another thread, since the test's own may be the one that its Redis runs on.
async fn examine(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap()
}

/// The line of one thing.
fn line<'a>(ran: &'a Ran, what: &str) -> &'a str {
    let of = |line: &&str| line.get(7..).is_some_and(|rest| rest.starts_with(what));
    ran.stdout.lines().find(of).unwrap_or_else(|| panic!("no line of {what}: {}", ran.stdout))
}

fn assert_wrong(ran: &Ran, what: &str, seen: &str) {
    let line = line(ran, what);
    assert!(line.starts_with("WRONG") && line.contains(seen) && line.contains(" -> "), "{line}");
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
}

async fn healthy() -> (App, crate::harness::app::Process) {
    let app = App::new(&[]).await;
    let up = app.up();
    app.until(up.url(), "ready").await;
    (app, up)
}

fn change(app: &App, statement: &str) {
    diesel::sql_query(statement).execute(&mut app.database()).unwrap();
}

#[tokio::test]
async fn everything_is_well_beside_a_running_installation() {
    let (app, up) = healthy().await;
    let accepted = app.upload(up.url(), 1, &jpeg(1)).await;
    app.outcome(up.url(), &accepted).await;
    app.assert_none_is_left_of(&["thumbnail", "warehouse"]).await;
    let subscribed = ["image_uploaded", "order_placed", "leaderboard_update"];
    for channel in subscribed {
        eventually("it listens", || async { (app.redis.listeners(channel).await > 0).then_some(()) }).await;
    }
    let ran = examine(app.command(&["doctor"])).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    let things = [
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
        "pictures' disk",
        "database disk",
        "originals",
        "mail templates",
    ];
    for what in things {
        assert!(line(&ran, what).starts_with("ok "), "{}", line(&ran, what));
    }
    assert_eq!(ran.stdout.lines().count(), things.len());
}

#[tokio::test]
async fn a_configuration_that_nothing_starts_with_is_told() {
    let app = App::new(&["serve.portt=1"]).await;
    assert_wrong(&examine(app.command(&["doctor"])).await, "configuration", "serve.portt");
    let app = App::new(&["serve.host=0.0.0.0"]).await;
    assert_wrong(&examine(app.command(&["doctor"])).await, "configuration", "0.0.0.0");
}

#[tokio::test]
async fn a_database_that_is_missing_old_new_damaged_or_no_database_is_told() {
    let app = App::new(&[]).await;
    assert_wrong(&examine(app.command(&["doctor"])).await, "database", "is not there");
    assert!(!app.dir.path().join("data").exists(), "the doctor makes nothing");

    app.dir.write("data/m3a3.db", vec![b'x'; 8192]);
    assert_wrong(&examine(app.command(&["doctor"])).await, "database", "not a database");
    std::fs::remove_file(app.dir.path().join("data/m3a3.db")).unwrap();

    app.dir.write("data/m3a3.db", "");
    assert_wrong(&examine(app.command(&["doctor"])).await, "database", "not up to date");
    assert_eq!(examine(app.command(&["migrate"])).await.code, Some(0));
    assert!(line(&examine(app.command(&["doctor"])).await, "database").starts_with("ok"));

    change(&app, "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000000')");
    assert_wrong(&examine(app.command(&["doctor"])).await, "database", "newer m3a3");
    change(&app, "DELETE FROM __diesel_schema_migrations WHERE version = '29991231000000'");

    change(&app, "PRAGMA wal_checkpoint(TRUNCATE)");
    let path = app.dir.path().join("data/m3a3.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // The second page on, where tables and indexes are.
    bytes[4096..].iter_mut().step_by(97).for_each(|byte| *byte ^= 0xff);
    std::fs::write(&path, bytes).unwrap();
    assert_wrong(&examine(app.command(&["doctor"])).await, "database", "m3a3.db");
}

#[tokio::test]
async fn a_log_of_the_database_that_has_grown_out_of_hand_is_told() {
    let app = App::new(&[]).await;
    assert_eq!(examine(app.command(&["migrate"])).await.code, Some(0));
    let wal = app.dir.write("data/m3a3.db-wal", "");
    std::fs::File::options().write(true).open(wal).unwrap().set_len(300 << 20).unwrap();
    assert_wrong(&examine(app.command(&["doctor"])).await, "WAL", "300 MiB");
}

#[tokio::test]
async fn a_redis_that_is_away_or_to_which_nobody_listens_is_told() {
    let mut app = App::new(&[]).await;
    assert_eq!(examine(app.command(&["migrate"])).await.code, Some(0));
    let ran = examine(app.command(&["doctor"])).await;
    let lonely = line(&ran, "subscribers");
    assert!(lonely.starts_with("note") && lonely.contains("nobody hears image_uploaded"), "{lonely}");
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    app.redis.stop().await;
    assert_wrong(&examine(app.command(&["doctor"])).await, "Redis", "refused");
}

#[tokio::test]
async fn a_redis_that_wants_another_password_is_told_without_a_word_of_it() {
    let redis = TestRedis::with_password("r1ght").await;
    let wrong = format!("redis.url=redis://:h1dden@{}", redis.address());
    let app = App::with_redis(redis, &[&wrong]);
    assert_eq!(examine(app.command(&["migrate"])).await.code, Some(0));
    let ran = examine(app.command(&["doctor"])).await;
    assert_wrong(&ran, "Redis", &app.redis.address().to_string());
    assert!(line(&ran, "Redis").ends_with("check the username and the password in redis.url"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("h1dden"), "{}", ran.stdout);
}

#[tokio::test]
async fn a_root_that_is_no_folder_and_templates_that_do_not_work_are_told() {
    let app = App::new(&[]).await;
    app.dir.write("file", "x");
    let ran = examine(app.command(&["doctor", "--set", "images.root=file/pictures"])).await;
    assert_wrong(&ran, "pictures' disk", "file is no folder");
    app.dir.write("mails/order_confirmed.txt", "Subject: {{ oops\n\n");
    let ran = examine(app.command(&["doctor", "--set", "email.templates=mails"])).await;
    assert_wrong(&ran, "mail templates", "order_confirmed.txt");
}

#[tokio::test]
async fn a_disk_without_room_is_told() {
    let (app, _up) = healthy().await;
    let ran = examine(app.command(&["doctor", "--set", &format!("serve.min_free_bytes={}", 1_u64 << 60)])).await;
    assert_wrong(&ran, "pictures' disk", "are wanted");
    assert_wrong(&ran, "database disk", "are wanted");
    let ran = examine(app.command(&["doctor", "--set", &format!("jobs.min_free_bytes={}", 1_u64 << 60)])).await;
    assert_wrong(&ran, "database disk", "workers take no jobs");
}

#[tokio::test]
async fn uploads_whose_bytes_are_not_those_that_came_are_told() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let accepted = app.upload(serve.url(), 1, &jpeg(1)).await;
    let file = app.dir.path().join("data").join(accepted["imagePath"].as_str().unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_wrong(&examine(app.command(&["doctor"])).await, "originals", "1 of 1 sampled are damaged, such as uploads/");
    {
        let _worker = app.worker();
        eventually("it is in quarantine", || async { (!file.exists()).then_some(()) }).await;
    }
    let ran = examine(app.command(&["doctor"])).await;
    let told = line(&ran, "originals");
    assert!(told.starts_with("note") && told.contains("1 damaged ones in uploads/.damaged"), "{told}");
}

#[tokio::test]
async fn leases_that_nobody_takes_over_are_told() {
    let app = App::new(&[]).await;
    let mut serve = app.serve();
    app.upload(serve.url(), 1, &jpeg(1)).await;
    assert!(serve.stop().success());
    let hold = "UPDATE jobs SET state = 'running', lease_owner = 'gone', lease_until = 1000, started_at = 1
        WHERE kind = 'thumbnail'";
    change(&app, hold);
    let ran = examine(app.command(&["doctor"])).await;
    assert_wrong(&ran, "leases", "1 have run out, that of thumbnail job");
    assert!(line(&ran, "leases").ends_with("start `m3a3 worker thumbnail`, which takes such jobs over"));
}

#[tokio::test]
async fn jobs_that_wait_for_nobody_and_those_that_were_given_up_are_told() {
    let app = App::new(&[]).await;
    let mut serve = app.serve();
    app.upload(serve.url(), 1, &jpeg(1)).await;
    let bad = app.upload(serve.url(), 2, &truncated_jpeg()).await;
    change(&app, "UPDATE jobs SET run_at = run_at - 100000");
    let ran = examine(app.command(&["doctor"])).await;
    assert_wrong(&ran, "queue", "2 thumbnail jobs wait");
    {
        let _worker = app.worker();
        app.outcome(serve.url(), &bad).await;
        app.assert_no_job_is_left().await;
    }
    assert!(serve.stop().success());
    let ran = examine(app.command(&["doctor"])).await;
    let (queue, dead) = (line(&ran, "queue"), line(&ran, "dead jobs"));
    assert!(queue.starts_with("note") && queue.contains("warehouse jobs wait"), "{queue}");
    assert!(dead.starts_with("note") && dead.contains("1 thumbnail") && dead.contains("jobs retry"), "{dead}");
    assert_eq!(ran.code, Some(0), "what nobody needs is no fault: {}", ran.stdout);
}

#[tokio::test]
async fn a_clock_that_was_set_back_is_told() {
    let app = App::new(&[]).await;
    let mut serve = app.serve();
    app.upload(serve.url(), 1, &jpeg(1)).await;
    assert!(serve.stop().success());
    change(&app, "UPDATE jobs SET created_at = created_at + 3600000");
    assert_wrong(&examine(app.command(&["doctor"])).await, "clock", "but a job was made at");
}
