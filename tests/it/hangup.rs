//! SIGHUP without TLS: an operator's signal changes nothing, and a closed terminal ends the process.

use std::fs::File;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::harness::app::{App, Process};

#[tokio::test]
async fn a_server_or_worker_without_a_certificate_survives_sighup() {
    let app = App::new(&[]).await;
    let (serve, worker) = (app.serve(), app.worker());
    for process in [&serve, &worker] {
        process.signal("HUP");
        process.until_logged("there is nothing to reload").await;
    }
    app.assert_server_is_well(serve.url()).await;
    for mut process in [serve, worker] {
        assert!(process.stop().success());
    }
}

#[tokio::test]
async fn a_server_drains_when_its_terminal_is_closed_and_not_before() {
    let app = App::new(&[]).await;
    // No process inherits it: the terminal is closed once it is.
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let terminal = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let serve = app.command(&["serve"]);
    // If the tests were started with SIGHUP ignored (nohup), so is the server.
    let script = format!("exec env --default-signal=HUP setsid --ctty \"$0\" \"$@\" <{terminal}");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).arg(serve.get_program()).args(serve.get_args());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut serve = Process::start(command.env_clear().env("PATH", path).current_dir(app.dir.path()));
    serve.signal("HUP");
    serve.until_logged("there is nothing to reload").await;
    assert_eq!(app.get(serve.url(), "/healthz").await, (200, json!({ "status": "ok" })));
    drop(File::from(master));
    assert!(serve.wait().success());
    assert!(serve.stderr().contains("draining"));
}
