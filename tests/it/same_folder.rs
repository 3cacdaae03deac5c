//! Commands beside a running `m3a3 up` in the same folder find its servers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::harness::app::{App, DEADLINE, Process, eventually};
use crate::harness::binary::Ran;
use crate::harness::pictures::jpeg;
use crate::harness::redis::TestRedis;

/// Starts a command that takes its ports from `.env`.
fn start(app: &App, args: &[&str]) -> Process {
    app.dir.write(".env", "M3A3_SERVE__PORT=0\nM3A3_GAME__PORT=0\n");
    Process::start(&mut app.dir.command(args))
}

/// On another thread, because Redis may run on that of the test.
async fn run(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || Ran::of(&mut command)).await.unwrap()
}

#[tokio::test]
async fn commands_find_the_ports_of_a_running_up_and_of_no_other() {
    let app = App::with_redis(TestRedis::down(), &[]);
    app.dir.write("a.jpg", jpeg(1));
    let mut up = start(&app, &["up"]);
    eventually("it is published", || async { app.dir.path().join("data/game.url").exists().then_some(()) }).await;

    let ran = run(app.dir.command(&["upload", "a.jpg", "--user", "7", "--wait"])).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let thumbnail = ran.json_lines()[0]["thumbnailUrl"].as_str().unwrap().to_owned();
    assert!(thumbnail.starts_with(up.url()), "{thumbnail}");
    assert_eq!(run(app.dir.command(&["status", "7"])).await.code, Some(0));
    let api = run(app.dir.command(&["healthcheck"])).await;
    assert_eq!((api.code, api.stdout), (Some(0), format!("API server at {}: ready\n", up.url())));
    assert_eq!(run(app.dir.command(&["healthcheck", "game"])).await.code, Some(0));

    // A flag and a variable of the command itself win.
    let (mut flag, mut variable) = (app.dir.command(&["status", "7"]), app.dir.command(&["status", "7"]));
    flag.args(["--set", "serve.port=1"]);
    variable.env("M3A3_SERVE__PORT", "1");
    for command in [flag, variable] {
        let ran = run(command).await;
        assert!(ran.stderr.starts_with("m3a3: no answer from http://localhost:1 "), "{}", ran.stderr);
    }

    // The files of a killed process are ignored.
    up.kill();
    assert!(app.dir.path().join("data/api.url").exists());
    let ran = run(app.dir.command(&["status", "7"])).await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("no server runs on the data in data (start `m3a3 up` or `m3a3 serve`"),
        "{}",
        ran.stderr
    );

    // A server that stops removes its file, and no later one's.
    let mut serve = start(&app, &["serve"]);
    let second = start(&app, &["serve"]);
    eventually("the second server is found", || async {
        let ran = run(app.dir.command(&["healthcheck"])).await;
        ran.stdout.contains(second.url()).then_some(())
    })
    .await;
    assert!(serve.stop().success());
    assert!(run(app.dir.command(&["healthcheck"])).await.stdout.contains(second.url()));
    drop(second);
}

#[cfg(feature = "client")]
#[tokio::test]
async fn the_client_finds_the_game_server_of_a_running_up() {
    let app = App::with_redis(TestRedis::down(), &[]);
    let _up = start(&app, &["up"]);
    eventually("it is published", || async { app.dir.path().join("data/game.url").exists().then_some(()) }).await;
    let client = Process::start(&mut app.dir.command(&["client"]));
    assert_eq!(client.first_line, serde_json::json!({ "event": "connected" }).to_string());
}

/// The output of `m3a3 up` until its last example.
fn banner(app: &App, args: &[&str]) -> String {
    let mut child = app.dir.command(&[&["up", "--port", "0", "--game-port", "0"], args].concat());
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let (sender, banner) = mpsc::channel();
    // Ends with the process, which closes its stdout.
    std::thread::spawn(move || {
        let mut text = String::new();
        for line in lines {
            text += &format!("{line}\n");
            if line.ends_with("/score") {
                break;
            }
        }
        sender.send(text)
    });
    let banner = banner.recv_timeout(DEADLINE);
    child.kill().unwrap();
    child.wait().unwrap();
    banner.expect("the last example is printed in time")
}

#[tokio::test]
async fn the_examples_of_up_send_the_token_without_showing_it() {
    let app = App::with_redis(TestRedis::down(), &[]);
    let open = banner(&app, &[]);
    assert!(open.contains("\n  curl -F userId=1 ") && !open.contains("Authorization"), "{open}");
    let guarded = banner(&app, &["--set", "auth.token=h1dden-0123456789", "--host", "0.0.0.0"]);
    let header = "curl -H \"Authorization: Bearer $M3A3_AUTH__TOKEN\" ";
    assert_eq!(guarded.matches(header).count(), 3, "{guarded}");
    assert!(!guarded.contains("h1dden") && guarded.contains("\n  http://127.0.0.1:"), "{guarded}");

    // Without the token, the hint names its flag.
    let up =
        Process::start(app.dir.command(&["up", "--port", "0", "--game-port", "0"]).env("M3A3_AUTH__TOKEN", "h1dden"));
    app.dir.write("a.jpg", jpeg(1));
    let ran = run(app.dir.command(&["upload", "a.jpg", "--user", "1", "--url", up.url()])).await;
    assert!(ran.stderr.ends_with("(pass auth.token in M3A3_AUTH__TOKEN, or --token)\n"), "{}", ran.stderr);
    let ran = run(app.dir.command(&["upload", "a.jpg", "--user", "1", "--token", "h1dden"])).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[tokio::test]
async fn a_port_in_use_names_the_flag_of_that_port() {
    let app = App::with_redis(TestRedis::down(), &[]);
    let used = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = used.local_addr().unwrap().port().to_string();
    for (args, flag) in [
        (&["up", "--port", "0", "--game-port", &port][..], "--game-port chooses another port"),
        (&["up", "--game-port", "0", "--port", &port], "--port and --host choose another address"),
        (&["game-server", "--port", &port], "--port and --host choose another address"),
        (&["serve", "--port", &port], "--port and --host choose another address"),
    ] {
        let ran = run(app.dir.command(args)).await;
        let start = format!("m3a3: cannot listen on 127.0.0.1:{port} (is another m3a3 running? {flag}): ");
        assert!(ran.code == Some(1) && ran.stderr.starts_with(&start), "{}", ran.stderr);
    }
}
