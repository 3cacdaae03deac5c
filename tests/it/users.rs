//! Users: name and email address.

use serde_json::{Value, json};

use crate::harness::app::{App, answer};
use crate::harness::pictures::jpeg;
use crate::harness::problem::assert_refused;

/// The response for a user without images.
fn user(fields: Value) -> Value {
    let mut user = json!({ "images": 0, "imageBytes": 0 });
    user.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    user
}

async fn put(app: &App, url: &str, user: &str, body: Value) -> (u16, Value) {
    answer(app.http.put(format!("{url}/users/{user}")).json(&body)).await.unwrap()
}

#[tokio::test]
async fn a_user_is_created_changed_field_by_field_and_read() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let url = serve.url();
    assert_eq!(app.get(url, "/users/7").await.0, 404);
    let made = put(&app, url, "7", json!({ "username": "Jürgen", "email": "j@example.org" })).await;
    assert_eq!(made, (201, user(json!({ "userId": 7, "username": "Jürgen", "email": "j@example.org" }))));
    assert_eq!(app.get(url, "/status/7").await.1["status"], "pending", "as the old service said of such a user");
    let changed = put(&app, url, "7", json!({ "email": "jürgen@exämple.de" })).await;
    assert_eq!(changed, (200, user(json!({ "userId": 7, "username": "Jürgen", "email": "jürgen@exämple.de" }))));
    let cleared = put(&app, url, "7", json!({ "email": null })).await;
    assert_eq!(cleared, (200, user(json!({ "userId": 7, "username": "Jürgen" }))));
    assert_eq!(app.get(url, "/users/7").await, cleared);
    app.upload(url, 8, &jpeg(1)).await;
    assert_eq!(put(&app, url, "8", json!({ "username": "Ada" })).await.0, 200, "an upload has made this user");
    assert_eq!(put(&app, url, "9", json!({})).await, (201, user(json!({ "userId": 9 }))));
}

#[tokio::test]
async fn invalid_names_and_addresses_are_refused_by_field_and_change_nothing() {
    let app = App::new(&[]).await;
    let serve = app.serve();
    let send = |user: &str, body: Value| app.http.put(format!("{}/users/{user}", serve.url())).json(&body);
    for (field, bad) in [
        ("email", json!("ada")),
        ("email", json!("ada@example.org\r\nBcc: eve@example.org")),
        ("email", json!("Ada <ada@example.org>")),
        ("email", json!(7)),
        ("email", json!("")),
        ("email", json!(format!("{}@example.org", "x".repeat(1 << 20)))),
        ("username", json!("")),
        ("username", json!("x".repeat(65))),
        ("username", json!("a\nb")),
        ("username", json!(["a"])),
    ] {
        let mut body = json!({ "username": "ok", "email": "ok@example.org" });
        body[field] = bad.clone();
        assert_refused(field, send("7", body), 400, field).await;
    }
    assert_refused(
        "mail",
        send("7", json!({ "mail": "ok@example.org" })),
        400,
        "mail: got an unknown field, expected \"email\"",
    )
    .await;
    assert_refused("a user", send("0", json!({})), 400, "userId").await;
    assert_refused("an array", send("7", json!([])), 400, "object").await;
    let text = app.http.put(format!("{}/users/7", serve.url())).body("{}");
    assert_refused("no JSON", text, 415, "Content-Type").await;
    let deleted = app.http.delete(format!("{}/users/7", serve.url()));
    assert_refused("a method", deleted, 405, "GET, HEAD, PUT").await;
    assert_eq!(app.count("SELECT count(*) FROM users"), 0);
}
