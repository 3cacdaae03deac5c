//! Email addresses that user tokens set: pending until the link that is mailed to them is followed, within limits.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use diesel::RunQueryDsl;
use m3a3::db::now;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response};
use ring::hmac;
use serde_json::{Value, json};

use crate::harness::app::{App, answer};
use crate::harness::openapi::Description;
use crate::harness::pictures::jpeg;
use crate::harness::smtp::{Mail, MailServer};
use crate::user_tokens::{SERVICE, SETTINGS, changed};

const DAY_MS: i64 = 86_400_000;
/// The key of links in tests that sign their own.
const KEY: [u8; 32] = [7; 32];

/// An installation with user tokens and these settings.
async fn app(settings: &[&str]) -> App {
    App::new(&[&SETTINGS[..], settings].concat()).await
}

/// The token of a user.
fn token(user: i64) -> String {
    changed("sub", json!(user.to_string()))
}

/// Changes a user with a bearer token.
async fn put(app: &App, url: &str, user: i64, bearer: &str, body: Value) -> (u16, Value) {
    let request = app.http.put(format!("{url}/users/{user}")).bearer_auth(bearer).json(&body);
    let (status, body) = answer(request).await.unwrap();
    (status, without_images(body))
}

/// A user without the numbers of images.
fn without_images(mut user: Value) -> Value {
    user.as_object_mut().unwrap().retain(|name, _| !["images", "imageBytes"].contains(&name.as_str()));
    user
}

/// Sets the address of a user with the token of this user.
async fn set_email(app: &App, url: &str, user: i64, email: &str) -> (u16, Value) {
    put(app, url, user, &token(user), json!({ "email": email })).await
}

async fn user(app: &App, url: &str, user: i64) -> Value {
    let (status, body) = answer(app.http.get(format!("{url}/users/{user}")).bearer_auth(token(user))).await.unwrap();
    assert_eq!(status, 200, "{body}");
    without_images(body)
}

fn execute(app: &App, statement: &str) {
    diesel::sql_query(statement).execute(&mut app.database()).unwrap();
}

/// Status and text of the page behind a link.
async fn page(app: &App, method: Method, link: &str) -> (u16, String) {
    let response = app.http.request(method, link).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// The link in a mail.
fn link(mail: &Mail) -> String {
    let text = mail.parse().body_text(0).unwrap().into_owned();
    let links: Vec<_> = text.lines().filter(|line| line.starts_with("http")).collect();
    assert_eq!(links.len(), 1, "{text}");
    links[0].to_owned()
}

fn recipient(mail: &Mail) -> &str {
    assert_eq!(mail.recipients.len(), 1);
    mail.recipients[0].strip_prefix("RCPT TO:<").unwrap().strip_suffix('>').unwrap()
}

async fn upload(app: &App, url: &str) {
    let form = Form::new().part("image", Part::bytes(jpeg(1)).file_name("x.jpg"));
    let request = app.http.post(format!("{url}/enqueue")).bearer_auth(token(7)).multipart(form);
    assert_eq!(request.send().await.unwrap().status(), 200);
    app.assert_none_is_left_of(&["thumbnail", "email"]).await;
}

/// The token of a link, made as the module docs of `users::confirmation::token` describe.
fn signed(key: [u8; 32], user: i64, email: &str, expires: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, &[b"m3a3 confirmation address\0", email.as_bytes()].concat());
    let claims = [&user.to_be_bytes()[..], &expires.to_be_bytes(), &tag.as_ref()[..16]].concat();
    let signature = hmac::sign(&key, &[b"m3a3 confirmation link\0", &claims[..]].concat());
    BASE64.encode([&claims[..], signature.as_ref()].concat())
}

fn assert_is_a_private_page(response: &Response) {
    let header = |name: &str| response.headers()[name].to_str().unwrap();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    assert_eq!((header("cache-control"), header("referrer-policy")), ("no-store", "no-referrer"));
    assert_eq!(header("x-content-type-options"), "nosniff");
    let policy = header("content-security-policy");
    for rule in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
}

#[tokio::test]
async fn an_address_gets_no_mail_but_its_link_until_its_form_was_sent() {
    let server = MailServer::taking();
    let smtp = format!("email.smtp_url={}", server.url);
    let app =
        app(&[&smtp, "log.level=trace", "log.requests=true", "serve.public_url=https://shop.example/images"]).await;
    let mut up = app.up();
    let url = up.url().to_owned();
    let by_backend =
        put(&app, &url, 7, SERVICE, json!({ "username": "Cheap pills", "email": "old@example.org" })).await;
    assert_eq!(by_backend.1, json!({ "userId": 7, "username": "Cheap pills", "email": "old@example.org" }));
    let pending = json!({
        "userId": 7, "username": "Cheap pills", "email": "old@example.org", "pendingEmail": "new'&@example.org"
    });
    assert_eq!(set_email(&app, &url, 7, "new'&@example.org").await, (200, pending.clone()));
    assert_eq!(user(&app, &url, 7).await, pending);

    let first = server.until(1).await.remove(0);
    assert_eq!(recipient(&first), "new'&@example.org");
    let text = String::from_utf8(first.data.clone()).unwrap();
    assert!(!text.contains("Cheap") && !text.contains("pills"), "the user has chosen this text: {text}");
    assert_eq!(first.parse().subject(), Some("Confirm your email address for shop.example"));
    let link = link(&first).replace("https://shop.example/images", &url);
    assert!(link.starts_with(&format!("{url}/confirm-email?token=")), "{link}");
    upload(&app, &url).await;
    let mails = server.until(3).await;
    assert!(mails[1..].iter().all(|mail| recipient(mail) == "old@example.org"));

    let shown = app.http.get(&link).send().await.unwrap();
    assert_is_a_private_page(&shown);
    let html = shown.text().await.unwrap();
    assert!(html.contains("<bdi>new&#x27;&amp;@example.org</bdi>"), "{html}");
    assert!(html.contains("<form method=\"post\">") && !html.contains("action="), "{html}");
    assert_eq!(page(&app, Method::HEAD, &link).await, (200, String::new()));
    assert_eq!(user(&app, &url, 7).await, pending, "scanners of mail follow links");

    let confirmed = json!({ "userId": 7, "username": "Cheap pills", "email": "new'&@example.org" });
    for _ in 0..2 {
        let form = app.http.post(&link).header("Origin", "null").header("Sec-Fetch-Site", "same-origin");
        let sent = form.header("Content-Type", "application/x-www-form-urlencoded").body("").send().await.unwrap();
        assert_eq!(sent.status(), 200);
        assert_is_a_private_page(&sent);
        assert!(sent.text().await.unwrap().contains("is confirmed"));
        assert_eq!(user(&app, &url, 7).await, confirmed);
    }
    let again = page(&app, Method::GET, &link).await;
    assert!(again.0 == 200 && again.1.contains("is confirmed") && !again.1.contains("<form"), "{again:?}");
    upload(&app, &url).await;
    let mails = server.until(5).await;
    assert!(mails[3..].iter().all(|mail| recipient(mail) == "new'&@example.org"));

    let token = link.split_once("token=").unwrap().1;
    let has = |text: &str| {
        app.count(&format!("SELECT count(*) FROM jobs WHERE instr(payload || ifnull(note, ''), '{text}')"))
    };
    assert_eq!((has(token), has("@example.org")), (0, 0), "operators see payloads");
    assert!(up.stop().success());
    let log = up.stderr();
    assert!(log.contains("/confirm-email") && !log.contains(token) && !log.contains("@example.org"), "{log}");
}

#[tokio::test]
async fn a_link_is_valid_for_its_user_its_address_and_its_day() {
    let app = app(&[]).await;
    let serve = app.serve();
    let url = serve.url();
    let mut api = Description::of(&app, url).await;
    let link = |token: &str| format!("{url}/confirm-email?token={token}");
    let unknown = page(&app, Method::GET, &link(&signed(KEY, 7, "new@example.org", now() + DAY_MS))).await;
    assert_eq!(unknown.0, 400, "no link was ever signed: {}", unknown.1);

    execute(
        &app,
        "INSERT INTO email_confirmation_key VALUES (1, X'0707070707070707070707070707070707070707070707070707070707070707')",
    );
    execute(&app, "INSERT INTO users (id, email, pending_email) VALUES (7, 'old@example.org', 'new@example.org')");
    execute(&app, "INSERT INTO users (id) VALUES (8)");
    let good = signed(KEY, 7, "new@example.org", now() + DAY_MS);
    let expired = signed(KEY, 7, "new@example.org", now() - 1);
    let before = user(&app, url, 7).await;
    for (token, status, text) in [
        (expired.clone(), 410, "has expired"),
        (signed(KEY, 7, "other@example.org", now() + DAY_MS), 410, "out of date"),
        (signed(KEY, 8, "new@example.org", now() + DAY_MS), 410, "out of date"),
        (signed(KEY, 9, "new@example.org", now() + DAY_MS), 410, "out of date"),
        (signed([8; 32], 7, "new@example.org", now() + DAY_MS), 400, "not valid"),
        (good[..good.len() - 1].to_owned(), 400, "not valid"),
        (format!("{good}&token={good}"), 400, "not valid"),
        ("%00%ff".to_owned(), 400, "not valid"),
        (String::new(), 400, "not valid"),
    ] {
        for method in [Method::GET, Method::POST] {
            let name = format!("{} /confirm-email", method.as_str().to_lowercase());
            api.expect(&name, app.http.request(method.clone(), link(&token)), status).await;
            let (_, html) = page(&app, method, &link(&token)).await;
            assert!(html.contains(text) && !html.contains("@example.org") && !html.contains("<form"), "{html}");
        }
    }
    assert_eq!(user(&app, url, 7).await, before);
    for (method, name) in [(Method::GET, "get /confirm-email"), (Method::POST, "post /confirm-email")] {
        api.expect(name, app.http.request(method, link(&format!("{good}&mc_eid=1"))), 200).await;
    }
    let confirmed = json!({ "userId": 7, "email": "new@example.org" });
    assert_eq!(user(&app, url, 7).await, confirmed);
    assert_eq!(page(&app, Method::POST, &link(&expired)).await.0, 200, "it has had its effect");

    // The backend is trusted, and its address is not replaced by a link from before.
    assert_eq!(set_email(&app, url, 7, "newer@example.org").await.1["pendingEmail"], "newer@example.org");
    let by_backend = put(&app, url, 7, SERVICE, json!({ "email": "shop@example.org" })).await;
    assert_eq!(by_backend, (200, json!({ "userId": 7, "email": "shop@example.org" })));
    for email in ["new@example.org", "newer@example.org"] {
        let old = link(&signed(KEY, 7, email, now() + DAY_MS));
        assert_eq!(page(&app, Method::POST, &old).await.0, 410, "{email}");
    }
    assert_eq!(user(&app, url, 7).await["email"], "shop@example.org");
}

#[tokio::test]
async fn the_address_in_effect_and_none_need_no_confirmation() {
    let app = app(&[]).await;
    let serve = app.serve();
    let url = serve.url();
    assert_eq!(
        set_email(&app, url, 7, "a@example.org").await,
        (201, json!({ "userId": 7, "pendingEmail": "a@example.org" }))
    );
    let cleared = put(&app, url, 7, &token(7), json!({ "email": null })).await;
    assert_eq!(cleared, (200, json!({ "userId": 7 })));
    put(&app, url, 7, SERVICE, json!({ "email": "old@example.org" })).await;
    set_email(&app, url, 7, "a@example.org").await;
    let named = put(&app, url, 7, &token(7), json!({ "username": "ada" })).await.1;
    assert_eq!(named["pendingEmail"], "a@example.org");
    let kept = set_email(&app, url, 7, "old@example.org").await;
    assert_eq!(kept, (200, json!({ "userId": 7, "username": "ada", "email": "old@example.org" })));
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'email'"), 2, "one for each new address");
    assert_eq!(set_email(&app, url, 8, "b@example.org").await.0, 201);
    let cleared = put(&app, url, 8, SERVICE, json!({ "email": null })).await;
    assert_eq!(cleared, (200, json!({ "userId": 8 })));
}

#[tokio::test]
async fn a_mail_is_sent_only_while_its_address_is_pending_and_its_link_valid() {
    let server = MailServer::taking();
    let app = app(&[&format!("email.smtp_url={}", server.url), "email.notify=none"]).await;
    let serve = app.serve();
    let url = serve.url();
    for (user, email) in [(7, "a@example.org"), (7, "b@example.org"), (8, "c@example.org"), (9, "d@example.org")] {
        assert!([200, 201].contains(&set_email(&app, url, user, email).await.0));
    }
    assert_eq!(put(&app, url, 8, &token(8), json!({ "email": null })).await.0, 200);
    execute(&app, "DELETE FROM users WHERE id = 9");
    set_email(&app, url, 10, "e@example.org").await;
    execute(&app, "UPDATE jobs SET payload = json_set(payload, '$.expires', 1) WHERE payload ->> '$.userId' = 10");
    let _worker = app.start(&["worker", "email"]);
    app.assert_none_is_left_of(&["email"]).await;
    assert_eq!(server.mails().iter().map(recipient).collect::<Vec<_>>(), ["b@example.org"]);
    let link = link(&server.mails()[0]);
    assert!(
        link.starts_with(&format!("{url}/confirm-email?token=")),
        "a server for this machine knows its URL: {link}"
    );
    let notes = |note: &str| app.count(&format!("SELECT count(*) FROM jobs WHERE note LIKE 'skipped: {note}'"));
    assert_eq!((notes("the address of user _ is not pending any more"), notes("the link has expired")), (3, 1));
    assert_eq!(app.count("SELECT count(*) FROM mails WHERE notice = 'confirm_address' AND state = 'sent'"), 1);

    // The same address again sends another mail, whose link works as the first one does.
    assert_eq!(set_email(&app, url, 7, "b@example.org").await.0, 200);
    assert_eq!(recipient(&server.until(2).await[1]), "b@example.org");
    for mail in server.mails() {
        assert_eq!(page(&app, Method::POST, &self::link(&mail)).await.0, 200);
    }
    assert_eq!(user(&app, url, 7).await, json!({ "userId": 7, "email": "b@example.org" }));
}

#[tokio::test]
async fn confirmation_mails_are_limited_by_user_and_by_mailbox() {
    let app = app(&[]).await;
    let serve = app.serve();
    let url = serve.url();
    let mut api = Description::of(&app, url).await;
    let jobs = || app.count("SELECT count(*) FROM jobs WHERE kind = 'email'");
    for number in 1..=5 {
        assert!(set_email(&app, url, 7, &format!("{number}@example.org")).await.0 < 300);
    }
    let sixth = || {
        let request = app.http.put(format!("{url}/users/7")).bearer_auth(token(7));
        request.json(&json!({ "username": "ada", "email": "6@example.org" }))
    };
    api.expect("put /users/{userId}", sixth(), 429).await;
    let refused = sixth().send().await.unwrap();
    let header = |name: &str| refused.headers()[name].to_str().unwrap();
    let seconds: u64 = header("retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&seconds), "{seconds}");
    assert_eq!(header("ratelimit-policy"), "\"confirm_email\";q=5;w=86400");
    assert_eq!(user(&app, url, 7).await, json!({ "userId": 7, "pendingEmail": "5@example.org" }));
    assert_eq!(jobs(), 5);
    let by_backend = put(&app, url, 7, SERVICE, json!({ "email": "6@example.org" })).await;
    assert_eq!(by_backend.1, json!({ "userId": 7, "email": "6@example.org" }));

    let spellings = ["victim@example.org", "Victim@EXAMPLE.org", "victim+1@example.org", "VICTIM+2@example.org"];
    for (user, spelling) in (8..).zip(spellings.iter().chain(&["victim@example.org"])) {
        assert_eq!(set_email(&app, url, user, spelling).await.0, 201, "{spelling}");
    }
    assert_eq!(set_email(&app, url, 13, "victim+3@example.org").await.0, 429);
    assert_eq!(app.count("SELECT count(*) FROM users WHERE id = 13"), 0);
    assert_eq!(set_email(&app, url, 13, "other@example.org").await.0, 201);

    execute(&app, &format!("UPDATE email_confirmations SET created_at = created_at - {DAY_MS}"));
    assert_eq!(set_email(&app, url, 7, "victim@example.org").await.0, 200);
    assert_eq!(app.count("SELECT count(*) FROM email_confirmations"), 1, "old rows are deleted");
}

#[tokio::test]
async fn two_servers_share_the_limit_and_confirm_an_address_once() {
    let app = app(&[]).await;
    let (one, other) = (app.serve(), app.serve());
    assert_eq!(put(&app, one.url(), 7, SERVICE, json!({})).await.0, 201);
    let requests = (0..12).map(|number| {
        let url = if number % 2 == 0 { one.url() } else { other.url() };
        set_email(&app, url, 7, "new@example.org")
    });
    let answers = futures_util::future::join_all(requests).await;
    let count = |status: u16| answers.iter().filter(|(got, _)| *got == status).count();
    assert_eq!((count(200), count(429)), (5, 7), "{answers:?}");
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'email'"), 5);

    let worker = app.start(&["worker", "email"]);
    app.assert_none_is_left_of(&["email"]).await;
    drop(worker);
    let mail = std::fs::read_dir(app.dir.path().join("data/outbox")).unwrap().next().unwrap().unwrap().path();
    let mail = Mail { connection: 0, recipients: Vec::new(), data: std::fs::read(mail).unwrap() };
    let path = link(&mail);
    let path = path.split_once("/confirm-email").unwrap().1;
    let links = [one.url(), other.url()].map(|url| format!("{url}/confirm-email{path}"));
    let sent = futures_util::future::join_all(links.iter().map(|link| page(&app, Method::POST, link))).await;
    assert_eq!(sent.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200]);
    assert_eq!(user(&app, one.url(), 7).await, json!({ "userId": 7, "email": "new@example.org" }));
}

#[tokio::test]
async fn without_confirmation_an_address_is_set_directly_and_without_a_url_not_at_all() {
    let direct = app(&["email.confirm=false", "serve.trusted_proxies=10.0.0.1"]).await;
    let serve = direct.serve();
    let set = set_email(&direct, serve.url(), 7, "a@example.org").await;
    assert_eq!(set, (201, json!({ "userId": 7, "email": "a@example.org" })));
    assert_eq!(direct.count("SELECT count(*) FROM jobs"), 0);

    // Clients of a proxy do not reach the address that the server listens on.
    let proxied = app(&["serve.trusted_proxies=10.0.0.1"]).await;
    let serve = proxied.serve();
    let (status, problem) = set_email(&proxied, serve.url(), 7, "a@example.org").await;
    assert!(status == 403 && problem["detail"].as_str().unwrap().contains("serve.public_url"), "{problem}");
    assert_eq!(proxied.count("SELECT count(*) FROM users"), 0);
    assert_eq!(put(&proxied, serve.url(), 7, SERVICE, json!({ "email": "a@example.org" })).await.0, 201);
    assert_eq!(put(&proxied, serve.url(), 7, &token(7), json!({ "email": null })).await, (200, json!({ "userId": 7 })));
}
