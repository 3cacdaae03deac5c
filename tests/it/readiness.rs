//! `/readyz` while the database cannot be written.

use std::process::Command;

use diesel::connection::SimpleConnection;
use serde_json::json;

use crate::harness::app::{App, Process, eventually};

/// Waits until a check of `/readyz` reports this.
async fn until_reported(app: &App, url: &str, check: &str, report: &str) {
    eventually(&format!("{check} reports {report:?}"), || async {
        let (status, answer) = app.get(url, "/readyz").await;
        let reported = answer["checks"][check].as_str().unwrap_or_default();
        (status == 503 && answer["status"] == "unavailable" && reported.contains(report)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn servers_are_not_ready_while_another_program_locks_the_database() {
    let app = App::new(&[]).await;
    let (serve, game) = (app.serve(), app.game_server());
    let mut locking = app.database();
    for server in [&serve, &game] {
        app.until(server.url(), "ready").await;
        locking.batch_execute("BEGIN IMMEDIATE").unwrap();
        until_reported(&app, server.url(), "database", "writes have been waiting for").await;
        locking.batch_execute("COMMIT").unwrap();
        app.until(server.url(), "ready").await;
    }
}

#[tokio::test]
async fn a_database_whose_disk_is_almost_full_is_not_ready() {
    let app = App::new(&[&format!("serve.min_free_bytes={}", 1_u64 << 60)]).await;
    let (serve, game) = (app.serve(), app.game_server());
    for server in [&serve, &game] {
        until_reported(&app, server.url(), "database disk", "bytes are free").await;
    }
}

/// The command with a file size limit, above which writes fail as on a full disk.
fn with_small_files(command: &Command, bytes: u64) -> Command {
    // In dash, the unit is 512 bytes. Without the trap, the signal would kill the process.
    let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
    let mut small = Command::new("/bin/sh");
    small.args(["-c", &limit]).arg(command.get_program()).args(command.get_args());
    small.env_clear().current_dir(command.get_current_dir().unwrap());
    small
}

#[tokio::test]
async fn a_server_whose_commits_fail_is_not_ready_until_one_succeeds() {
    let app = App::new(&[]).await;
    assert!(app.command(&["migrate"]).status().unwrap().success());
    app.database().batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let serve = Process::start(&mut with_small_files(&app.command(&["serve"]), 2 << 20));
    app.until(serve.url(), "ready").await;

    eventually("the WAL is full, and that is reported", || async {
        let (status, _) = app.enqueue(serve.url(), &json!({ "userId": 1, "imagePath": "photo.jpg" })).await;
        let (_, report) = app.get(serve.url(), "/readyz").await;
        let database = report["checks"]["database"].as_str().unwrap_or_default();
        (status == 503 && database.contains("the last commit failed")).then_some(())
    })
    .await;
    // Requests without changes do not commit.
    until_reported(&app, serve.url(), "database", "the last commit failed").await;

    app.database().batch_execute("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    app.until(serve.url(), "ready").await;
}
