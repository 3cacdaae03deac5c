//! Conformance of the servers to their API descriptions: every operation is called, and the status, content type and
//! schema of every response are checked.

use std::collections::BTreeSet;
use std::path::Path;

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::architecture::{module as module_of, sources};
use crate::harness::app::App;
use crate::harness::openapi::Description;
use crate::harness::pictures::{jpeg, truncated_jpeg};
use crate::harness::until_async;

/// The routes of both servers.
async fn expect_common(app: &App, url: &str, description: &mut Description) {
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/"] {
        let request = app.http.get(format!("{url}{path}"));
        description.expect(&format!("get {path}"), request, 200).await;
    }
}

#[tokio::test]
async fn the_api_server_conforms_to_its_description() {
    let app = App::new(&["jobs.max_attempts=1", "serve.max_upload_bytes=100000"]).await;
    let serve = app.serve();
    let url = serve.url();
    let mut api = Description::of(&app, url).await;
    expect_common(&app, url, &mut api).await;

    let get = |path: &str| app.http.get(format!("{url}{path}"));
    let form = |picture: Vec<u8>| Form::new().text("userId", "1").part("image", Part::bytes(picture));
    let upload =
        |picture| app.http.post(format!("{url}/enqueue")).header("idempotency-key", "a").multipart(form(picture));
    let path = |body: Value| app.http.post(format!("{url}/enqueue")).json(&body);
    let enqueue = "post /enqueue";
    api.expect(enqueue, upload(jpeg(1)), 200).await;
    api.expect(enqueue, upload(jpeg(2)), 422).await;
    api.expect(enqueue, upload(vec![0; 200_000]), 413).await;
    api.expect(enqueue, app.http.post(format!("{url}/enqueue")).body("?"), 415).await;
    api.expect(enqueue, path(json!({ "userId": 2, "imagePath": "nowhere.jpg" })), 200).await;
    api.expect(enqueue, path(json!({ "userId": "2", "imagePath": "../x" })), 400).await;

    api.expect("get /status/{userId}", get("/status/1"), 200).await;
    api.expect("get /status-live/{userId}", get("/status-live/1?timeout=1"), 408).await;
    let failing = app.upload(url, 3, &truncated_jpeg()).await;
    let job = failing["statusUrl"].as_str().unwrap();
    api.expect("get /jobs/{jobId}", get(job), 200).await;
    api.expect("get /jobs/{jobId}", get(job).header("if-none-match", "*"), 304).await;
    api.expect("get /status/{userId}", get("/status/1").header("if-none-match", "*"), 304).await;
    api.expect("get /jobs/{jobId}/live", get(&format!("{job}/live?timeout=1")), 408).await;

    let _worker = app.worker();
    for user in 1..=3 {
        api.expect("get /status-live/{userId}", get(&format!("/status-live/{user}?timeout=60")), 200).await;
        api.expect("get /status/{userId}", get(&format!("/status/{user}")), 200).await;
    }
    api.expect("get /jobs/{jobId}/live", get(&format!("{job}/live?timeout=60")), 200).await;
    api.expect("get /jobs/{jobId}", get(job), 200).await;
    api.expect("get /status/{userId}", get("/status/4"), 404).await;
    for path in ["status/{userId}", "status-live/{userId}", "jobs/{jobId}", "jobs/{jobId}/live"] {
        let (_, wrong) = path.split_once('{').unwrap();
        let wrong = format!("/{}x{}", path.split('{').next().unwrap(), wrong.split_once('}').unwrap().1);
        api.expect(&format!("get /{path}"), get(&wrong), 400).await;
    }
    let nobody = "/jobs/01a20af3-7c5c-7497-8f81-9c67afd551d6";
    api.expect("get /jobs/{jobId}", get(nobody), 404).await;
    api.expect("get /jobs/{jobId}/live", get(&format!("{nobody}/live")), 404).await;

    let thumbnail = app.get(url, "/status/1").await.1["thumbnailUrl"].as_str().unwrap().to_owned();
    app.dir.write("data/uploads/thumbs/old.jpg", jpeg(1));
    for (name, there) in
        [("/thumbnails/{name}", thumbnail), ("/uploads/thumbs/{name}", "/uploads/thumbs/old.jpg".into())]
    {
        let operation = format!("get {name}");
        let etag = get(&there).send().await.unwrap().headers()["etag"].clone();
        api.expect(&operation, get(&there), 200).await;
        api.expect(&operation, get(&there).header("range", "bytes=0-9"), 206).await;
        api.expect(&operation, get(&there).header("range", "bytes=999999-"), 416).await;
        api.expect(&operation, get(&there).header("range", &b"bytes=\xff"[..]), 400).await;
        api.expect(&operation, get(&there).header("if-match", "\"other\""), 412).await;
        api.expect(&operation, get(&there).header("if-none-match", etag), 304).await;
        api.expect(&operation, get(&name.replace("{name}", "nothing.jpg")), 404).await;
    }
    expect_users(&app, url, &mut api).await;
    expect_jobs(&app, url, &mut api).await;
    // Missing tokens, limits, full disks, stalled bodies and links of mails have their own tests.
    api.assert_seen(&[
        ("", &[401, 403, 429, 503]),
        ("/enqueue", &[408, 507]),
        ("put", &[408, 507]),
        ("post /admin", &[408]),
        ("/confirm-email", &[200, 410]),
    ]);
    app.assert_no_job_is_left().await;
}

async fn expect_users(app: &App, url: &str, api: &mut Description) {
    let (get_user, put_user, images) = ("get /users/{userId}", "put /users/{userId}", "get /users/{userId}/images");
    let get = |path: &str| app.http.get(format!("{url}{path}"));
    let put = |user: &str, body: Value| app.http.put(format!("{url}/users/{user}")).json(&body);
    api.expect(put_user, put("9", json!({ "username": "ada", "email": "ada@example.org" })), 201).await;
    api.expect(put_user, put("9", json!({ "email": null })), 200).await;
    api.expect(put_user, put("9", json!({ "email": "ada" })), 400).await;
    api.expect(put_user, put("9", json!({ "username": "a".repeat(3 << 20) })), 413).await;
    api.expect(put_user, app.http.put(format!("{url}/users/9")).body("{}"), 415).await;
    api.expect(get_user, get("/users/9"), 200).await;
    api.expect(get_user, get("/users/10"), 404).await;
    api.expect(get_user, get("/users/x"), 400).await;
    api.expect("get /confirm-email", get("/confirm-email?token=x"), 400).await;
    api.expect("post /confirm-email", app.http.post(format!("{url}/confirm-email")), 400).await;
    let _worker = app.start(&["worker", "warehouse"]);
    app.assert_none_is_left_of(&["warehouse"]).await;
    for user in 1..=3 {
        api.expect(images, get(&format!("/users/{user}/images?limit=1")), 200).await;
    }
    api.expect(images, get("/users/10/images"), 404).await;
    api.expect(images, get("/users/1/images?limit=x"), 400).await;
}

async fn expect_jobs(app: &App, url: &str, api: &mut Description) {
    let get = |path: &str| app.http.get(format!("{url}/admin/{path}"));
    let post = |path: &str, body: Value| app.http.post(format!("{url}/admin/{path}")).json(&body);
    api.expect("get /admin/jobs", get("jobs"), 200).await;
    api.expect("get /admin/jobs", get("jobs?limit=0"), 400).await;
    let (_, dead) = app.get(url, "/admin/jobs?state=dead&kind=thumbnail").await;
    let (_, queued) = app.get(url, "/admin/jobs?state=queued&kind=email").await;
    let (dead, queued) = (dead[0]["id"].as_str().unwrap(), queued[0]["id"].as_str().unwrap());
    let nobody = "01a20af3-7c5c-7497-8f81-9c67afd551d6";
    let show = "get /admin/jobs/{jobId}";
    for (id, status) in [(dead, 200), (queued, 200), (nobody, 404), ("x", 400)] {
        api.expect(show, get(&format!("jobs/{id}")), status).await;
    }
    for (what, right, wrong) in [("cancel", queued, dead), ("retry", queued, "")] {
        let operation = format!("post /admin/jobs/{{jobId}}/{what}");
        for (id, status) in [(right, 200), (wrong, 409), (nobody, 404), ("x", 400)] {
            let (_, done) = app.get(url, "/admin/jobs?state=done").await;
            let id = if id.is_empty() { done[0]["id"].as_str().unwrap() } else { id };
            api.expect(&operation, post(&format!("jobs/{id}/{what}"), json!({})), status).await;
        }
    }
    let big = "a".repeat(3 << 20);
    for (operation, right, wrong) in [
        ("retry", json!({ "state": "dead", "kind": "webhook" }), json!({ "state": "done" })),
        ("purge", json!({ "olderThan": "7d" }), json!({ "olderThan": "soon" })),
    ] {
        let (name, path) = (format!("post /admin/jobs/{operation}"), format!("jobs/{operation}"));
        api.expect(&name, post(&path, right), 200).await;
        api.expect(&name, post(&path, wrong), 400).await;
        api.expect(&name, post(&path, json!(big)), 413).await;
        api.expect(&name, app.http.post(format!("{url}/admin/{path}")).body("{}"), 415).await;
    }
}

#[tokio::test]
async fn the_game_server_conforms_to_its_description() {
    let mut app = App::new(&[]).await;
    let server = app.game_server();
    let url = server.url().to_owned();
    app.until(&url, "ready").await;
    let mut game = Description::of(&app, &url).await;
    expect_common(&app, &url, &mut game).await;

    let get = |path: &str| app.http.get(format!("{url}{path}"));
    let score = |body: Value| app.http.post(format!("{url}/score")).json(&body);
    for mode in ["set", "best", "add"] {
        let body = json!({ "username": "ada", "score": 0.5, "mode": mode });
        game.expect("post /score", score(body), 200).await;
    }
    game.expect("post /score", score(json!({ "username": "", "score": "1" })), 400).await;
    game.expect("post /score", score(json!({ "username": "a".repeat(3 << 20), "score": 1 })), 413).await;
    game.expect("post /score", app.http.post(format!("{url}/score")).body("{}"), 415).await;
    game.expect("post /seed", app.http.post(format!("{url}/seed")), 200).await;
    game.expect("get /leaderboard", get("/leaderboard?offset=1&limit=2"), 200).await;
    game.expect("get /leaderboard", get("/leaderboard?limit=x"), 400).await;
    game.expect("get /leaderboard", get("/leaderboard").header("if-none-match", "*"), 304).await;
    let player = "get /leaderboard/{username}";
    // If Redis is slow, the board is seeded later.
    let seeded = async || get("/leaderboard/Player%201").send().await.unwrap().status() == 200;
    until_async("the board is seeded", seeded).await;
    game.expect(player, get("/leaderboard/Player%201"), 200).await;
    game.expect(player, get("/leaderboard/Player%201").header("if-none-match", "*"), 304).await;
    game.expect(player, get("/leaderboard/nobody"), 404).await;
    game.expect(player, get("/leaderboard/%07"), 400).await;
    game.expect("get /leaderboard-feed", get("/leaderboard-feed"), 200).await;

    let place = |body: Value| app.http.post(format!("{url}/place_order")).json(&body);
    game.expect("post /place_order", place(json!({ "orderId": "a/1", "userId": "b" })), 200).await;
    game.expect("post /place_order", place(json!({ "orderId": "a/1", "userId": "c" })), 409).await;
    game.expect("post /place_order", place(json!({ "orderId": "", "userId": "c" })), 400).await;
    game.expect("post /place_order", place(json!({ "orderId": "a".repeat(3 << 20) })), 413).await;
    game.expect("post /place_order", app.http.post(format!("{url}/place_order")).body("{}"), 415).await;
    game.expect("get /orders/{orderId}", get("/orders/a%2F1"), 200).await;
    game.expect("get /orders/{orderId}", get("/orders/b"), 404).await;
    game.expect("get /orders/{orderId}", get("/orders/%07"), 400).await;

    app.redis.stop().await;
    app.until(&url, "degraded").await;
    let get = |path: &str| app.http.get(format!("{url}{path}"));
    game.expect("get /leaderboard", get("/leaderboard"), 200).await;
    game.expect(player, get("/leaderboard/Player%201"), 200).await;
    game.expect(player, get("/leaderboard/nobody"), 404).await;
    let score = app.http.post(format!("{url}/score")).json(&json!({ "username": "ada", "score": 1 }));
    game.expect("post /score", score, 200).await;
    game.expect("get /readyz", get("/readyz"), 200).await;
    game.assert_seen(&[
        ("", &[401, 403, 429]),
        ("post", &[408, 503]),
        ("/score", &[507]),
        ("/orders", &[503]),
        ("/leaderboard", &[503]),
        ("/readyz", &[503]),
    ]);
}

#[tokio::test]
async fn changes_of_the_descriptions_are_visible_in_their_snapshots() {
    let app = App::new(&[]).await;
    for (name, process) in [("api_server", app.serve()), ("game_server", app.game_server())] {
        let description = Description::of(&app, process.url()).await;
        description.assert_references_resolve();
        insta::assert_json_snapshot!(name, description.unversioned());
    }
}

#[tokio::test]
async fn exactly_the_described_operations_need_the_token() {
    let app = App::new(&["auth.token=s3cret"]).await;
    for process in [app.serve(), app.game_server()] {
        let mut description = Description::of(&app, process.url()).await;
        let names: Vec<_> = description.operations().into_keys().collect();
        for name in names {
            let (method, url) = description.example(&name);
            // An empty requirement means that the token is optional (OpenAPI 3.1, "security").
            let is_guarded = description.operations()[&name]["security"]
                .as_array()
                .is_some_and(|allowed| !allowed.contains(&json!({})));
            let response = app.http.request(method, url).send().await.unwrap();
            assert_eq!(response.status() == 401, is_guarded, "{name}");
            description.check(&name, response).await;
        }
    }
}

#[tokio::test]
async fn the_descriptions_contain_exactly_the_existing_routes() {
    let app = App::new(&[]).await;
    let domains = [
        (app.serve(), &["http", "images", "users", "admin"][..]),
        (app.game_server(), &["http", "leaderboard", "orders"]),
    ];
    for (process, modules) in domains {
        let description = Description::of(&app, process.url()).await;
        let described: BTreeSet<_> = description.operations().into_keys().map(|name| without_names(&name)).collect();
        let routes: BTreeSet<_> = modules.iter().flat_map(|module| routes(module)).collect();
        assert_eq!(described, routes, "{modules:?}");
    }
}

/// Method and path of every resource of a module, by the calls of `http::resource` and `http::page` in its source.
fn routes(module: &str) -> BTreeSet<String> {
    let mut routes = BTreeSet::new();
    let is_test = |file: &Path| {
        file.file_stem().is_some_and(|name| name == "tests")
            || file.parent().is_some_and(|folder| folder.ends_with("tests"))
    };
    for file in sources().into_iter().filter(|file| module_of(file) == module && !is_test(file)) {
        let text = std::fs::read_to_string(file).unwrap();
        for (function, method) in [
            ("get(\"/", "get"),
            ("page(\"/", "get"),
            ("post(\"/", "post"),
            ("get_put(\"/", "get"),
            ("get_put(\"/", "put"),
            ("get_post(\"/", "get"),
            ("get_post(\"/", "post"),
        ] {
            let paths = text.split(function).skip(1).map(|rest| rest.split('"').next().unwrap());
            routes.extend(paths.map(|path| without_names(&format!("{method} /{path}"))));
        }
    }
    routes
}

/// `/jobs/{}` for `/jobs/{job_id}`: the descriptions use the parameter names of the contract.
fn without_names(path: &str) -> String {
    let mut parts = path.split('{');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |path, part| format!("{path}{{}}{}", part.split_once('}').unwrap().1))
}
