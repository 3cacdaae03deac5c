//! The official Socket.IO client at the addresses of Socket.IO servers: redirected, or served from a folder.

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};

use crate::harness::app::{App, Process};
use crate::harness::binary::Workdir;
use crate::harness::problem::assert_refused;

const NAMES: [&str; 4] = ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js"];

fn client() -> Client {
    Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

fn url(server: &Process, name: &str) -> String {
    format!("{}/socket.io/{name}", server.url())
}

async fn ask(method: Method, url: &str) -> Response {
    client().request(method, url).header("origin", "http://page.example").send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn the_client_is_redirected_to_its_own_release_by_default_and_needs_no_token() {
    let app = App::new(&["auth.token=s3cret"]).await;
    let server = app.game_server();
    for name in NAMES.into_iter().flat_map(|name| [name.to_owned(), format!("{name}.map")]) {
        for method in [Method::GET, Method::HEAD] {
            let response = ask(method, &url(&server, &name)).await;
            assert_eq!(response.status(), 302, "{name}");
            let location = format!("https://cdn.socket.io/4.8.3/{name}");
            assert_eq!(header(&response, "location"), Some(location.as_str()));
            // For `crossorigin` with `integrity`.
            assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
        }
    }
    for name in ["socket.io.esm.js", "socket.io.js.gz", "x", "socket.io.js/"] {
        assert_refused(name, client().get(url(&server, name)), 404, "nothing at this address").await;
    }
    assert_refused("POST", client().post(url(&server, NAMES[0])), 405, "GET, HEAD").await;
    let polling = ask(Method::GET, &url(&server, "?EIO=4&transport=polling")).await;
    assert_eq!(polling.status(), 200);
}

#[tokio::test]
async fn the_client_is_served_from_a_folder_with_its_type_and_tag() {
    let app = App::new(&["game.socketio_client=dist"]).await;
    for name in ["socket.io.js", "socket.io.esm.min.js", "socket.io.js.map", "secret.js"] {
        app.dir.write(&format!("dist/{name}"), format!("// {name}"));
    }
    let server = app.game_server();
    for (name, media_type) in [
        ("socket.io.js", "text/javascript; charset=utf-8"),
        ("socket.io.esm.min.js", "text/javascript; charset=utf-8"),
        ("socket.io.js.map", "application/json"),
    ] {
        let address = url(&server, name);
        let response = ask(Method::GET, &address).await;
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(header(&response, "content-type"), Some(media_type));
        assert_eq!(header(&response, "cache-control"), Some("no-cache"));
        assert_eq!(header(&response, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
        let tag = header(&response, "etag").unwrap().to_owned();
        assert_eq!(response.text().await.unwrap(), format!("// {name}"));
        let unchanged = client().get(&address).header("if-none-match", format!("\"x\", {tag}")).send().await.unwrap();
        assert_eq!((unchanged.status().as_u16(), header(&unchanged, "etag")), (304, Some(tag.as_str())));
        let head = ask(Method::HEAD, &address).await;
        assert_eq!(header(&head, "content-length"), Some(format!("{}", name.len() + 3).as_str()));
    }
    let missing = client().get(url(&server, "socket.io.min.js"));
    assert_refused("a missing file", missing, 404, "game.socketio_client has no socket.io.min.js").await;
    assert_refused("another file", client().get(url(&server, "secret.js")), 404, "nothing at this address").await;
}

#[tokio::test]
async fn a_server_without_the_client_says_where_it_is() {
    let app = App::new(&["game.socketio_client=none"]).await;
    let server = app.game_server();
    assert_refused("none", client().get(url(&server, NAMES[0])), 404, "npm package socket.io-client").await;
}

#[test]
fn a_folder_without_the_client_is_an_error_at_start_that_says_how_to_get_it() {
    let workdir = Workdir::new();
    workdir.write("dist/socket.io.min.js", "");
    for folder in ["dist", "nowhere"] {
        let ran = workdir.run(&["game-server", "--set", &format!("game.socketio_client={folder}")]);
        assert_ne!(ran.code, Some(0));
        let message = format!("{folder}/socket.io.js does not exist; `npm pack socket.io-client@4");
        assert!(ran.stderr.contains("game.socketio_client") && ran.stderr.contains(&message), "{}", ran.stderr);
    }
}
