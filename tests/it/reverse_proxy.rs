//! Servers behind a reverse proxy: the addresses of clients, and the nginx configuration of docs/deployment.md.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::harness::app::{App, Process, answer};
use crate::harness::binary::Workdir;
use crate::harness::feed::Feed;
use crate::harness::pictures::jpeg;
use crate::harness::ports::free_address;
use crate::harness::until_async;
use crate::harness::websocket::SocketClient;

const LOGGED: [&str; 2] = ["log.requests=true", "log.format=json"];
const CLIENT: &str = "203.0.113.9";

/// The address and the scheme in the access-log line of each request to this route, after the server's exit.
fn clients(process: &mut Process, route: &str) -> Vec<(String, String)> {
    let text = process.stderr();
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let finished = events.filter(|event| {
        event["message"] == "request finished" && event.to_string().contains(&format!("\"route\":\"{route}\""))
    });
    let field = |event: &Value, name: &str| event[name].as_str().unwrap_or_else(|| panic!("{event}")).to_owned();
    finished.map(|event| (field(&event, "client"), field(&event, "scheme"))).collect()
}

#[tokio::test]
async fn the_access_log_names_the_client_that_a_trusted_proxy_names() {
    for (trusted, expected) in [("127.0.0.0/8, ::1", (CLIENT, "https")), ("10.0.0.0/8", ("127.0.0.1", "http"))] {
        let app = App::new(&[&LOGGED[..], &[&format!("serve.trusted_proxies={trusted}")]].concat()).await;
        for mut server in [app.serve(), app.game_server()] {
            let request = app.http.get(format!("{}/healthz", server.url())).header("X-Forwarded-Proto", "https");
            let response = request.header("X-Forwarded-For", format!("192.0.2.1, {CLIENT}")).send().await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(server.stop().success());
            let expected = (expected.0.to_owned(), expected.1.to_owned());
            assert_eq!(clients(&mut server, "/healthz"), [expected], "{trusted}");
        }
    }
}

#[test]
fn a_trusted_proxy_that_is_no_network_stops_the_start_with_a_correction() {
    let ran = Workdir::new().run(&["migrate", "--set", "serve.trusted_proxies=127.0.0.1, 10.0.0.1/8"]);
    assert_eq!(ran.code, Some(2));
    let expected = "m3a3: serve.trusted_proxies (--set): got \"10.0.0.1/8\", expected the network \"10.0.0.0/8\", or the \
                    address \"10.0.0.1\"\n";
    assert_eq!(ran.stderr, expected);
}

/// An nginx with the configuration of docs/deployment.md, which is killed at the end of the test.
struct Nginx {
    child: Child,
    images: String,
    game: String,
}

impl Nginx {
    async fn start(workdir: &Workdir, serve: &Process, game_server: &Process) -> Self {
        let (images, game) = (free_address(), free_address());
        let servers = documented()
            .replacen("listen 80;", &format!("listen {images};"), 1)
            .replacen("listen 80;", &format!("listen {game};"), 1)
            .replace("http://127.0.0.1:3010", serve.url())
            .replace("http://127.0.0.1:3011", game_server.url());
        let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let folders = folders.map(|name| format!("{name}_temp_path nginx-{name};\n")).concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr;\nevents {{}}\n\
             http {{\naccess_log off;\n{folders}{servers}}}\n"
        );
        workdir.write("nginx.conf", config);
        let child = Command::new(program())
            .arg("-p")
            .arg(workdir.path())
            .args(["-e", "stderr", "-c", "nginx.conf"])
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx is installed");
        let nginx = Self { child, images: format!("http://{images}"), game: format!("http://{game}") };
        for address in [images, game] {
            until_async("nginx listens", async || TcpStream::connect(address).await.is_ok()).await;
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Debian installs it in a folder that is not on the path of all users.
fn program() -> &'static str {
    if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" }
}

/// The first nginx configuration of the manual.
fn documented() -> String {
    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/deployment.md")).unwrap();
    let block = manual.split_once("\n```nginx\n").and_then(|(_, rest)| rest.split_once("\n```\n"));
    block.expect("an nginx configuration").0.to_owned()
}

#[tokio::test]
#[ignore = "needs nginx, which .ci/run installs"]
async fn uploads_polls_feeds_and_sockets_pass_the_documented_nginx() {
    let app = App::new(&[&LOGGED[..], &["serve.trusted_proxies=127.0.0.1"]].concat()).await;
    let (mut serve, _worker, mut game_server) = (app.serve(), app.worker(), app.ready_game_server().await);
    let nginx = Nginx::start(&app.dir, &serve, &game_server).await;

    // Larger than what nginx accepts by default. The client cannot choose its address by the field that nginx does not set.
    let image = [jpeg(1), vec![0; 2 << 20]].concat();
    let form = Form::new().text("userId", "1").part("image", Part::bytes(image).file_name("image"));
    let upload = app.http.post(format!("{}/enqueue", nginx.images)).multipart(form);
    let upload = upload.header("X-Forwarded-For", CLIENT).header("Forwarded", "for=192.0.2.66");
    let (status, accepted) = answer(upload).await.unwrap();
    assert_eq!(status, 200, "{accepted}");
    assert_eq!(app.outcome(&nginx.images, &accepted).await["status"], "done", "a long poll");

    let mut feed = Feed::open(&app.http, &nginx.game).await;
    let mut socket = SocketClient::connect(&nginx.game).await;
    app.score(&nginx.game, "ada", 7).await;
    let board = json!([{ "username": "ada", "score": 7 }]);
    // A proxy that buffers sends it with the next kilobytes only.
    feed.until(&board).await;
    socket.until_update(&board).await;
    for url in [&nginx.images, &nginx.game] {
        assert_eq!(app.http.get(format!("{url}/metrics")).send().await.unwrap().status(), 403);
    }

    drop((feed, socket, nginx));
    assert!(serve.stop().success() && game_server.stop().success());
    assert_eq!(clients(&mut serve, "/enqueue"), [(CLIENT.to_owned(), "http".to_owned())]);
}
