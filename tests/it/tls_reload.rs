//! The certificate is loaded again at SIGHUP, and no open connection is dropped.

use serde_json::{Value, json};

use crate::harness::app::{answer, eventually};
use crate::harness::certificates::Issued;
use crate::harness::feed::Feed;
use crate::harness::pictures::jpeg;
use crate::harness::within;
use crate::tls::{TlsApp, until_metric};

/// Waits until new connections get this certificate.
async fn until_presented(authority: &Issued, url: &str, issued: &Issued) {
    eventually("the new certificate is presented", || async {
        (authority.presented(url).await == issued.der).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_long_poll_outlives_a_reload_and_new_connections_get_the_new_certificate() {
    let tls = TlsApp::new(&[]).await;
    let (serve, http) = (tls.app.serve(), tls.client());
    let url = serve.url();
    let form = reqwest::multipart::Form::new()
        .text("userId", "1")
        .part("image", reqwest::multipart::Part::bytes(jpeg(1)).file_name("1.jpg"));
    assert_eq!(answer(http.post(format!("{url}/enqueue")).multipart(form)).await.unwrap().0, 200);
    let polling = tls.client();
    let poll = tokio::spawn(answer(polling.get(format!("{url}/status-live/1?timeout=60"))));
    until_metric(&http, &serve, "m3a3_held_polls 1.0").await;

    let renewed = tls.authority.server(365);
    assert_ne!(tls.authority.presented(url).await, renewed.der);
    renewed.write(tls.app.dir.path());
    serve.signal("HUP");
    serve.until_logged("serve.tls.cert was loaded again").await;
    until_presented(&tls.authority, url, &renewed).await;

    let _worker = tls.app.worker();
    let (status, done) = within("the poll is answered", poll).await.unwrap().unwrap();
    assert_eq!((status, &done["status"]), (200, &json!("done")));
}

#[tokio::test]
async fn a_feed_outlives_a_reload_and_pairs_that_cannot_be_used_never_replace_the_current_one() {
    let tls = TlsApp::new(&[]).await;
    let first = tls.authority.server(90);
    first.write(tls.app.dir.path());
    let (mut game, http) = (tls.app.game_server(), tls.client());
    let url = game.url().to_owned();
    let mut feed = Feed::open(&http, &url).await;

    tls.app.dir.write("key.pem", tls.authority.server(90).key_pem());
    game.signal("HUP");
    game.until_logged("the previous one stays in use").await;
    assert_eq!(tls.authority.presented(&url).await, first.der);

    let renewed = tls.authority.server(365);
    renewed.write(tls.app.dir.path());
    game.signal("HUP");
    until_presented(&tls.authority, &url, &renewed).await;
    let scored = tls.client().post(format!("{url}/score")).json(&json!({ "username": "ada", "score": 1 }));
    assert_eq!(answer(scored).await.unwrap().0, 200);
    feed.until_board(|board: &Value| board.to_string().contains("\"ada\"")).await;
    game.signal("TERM");
    feed.until_closed().await;
    assert!(game.wait().success());
    let log = game.stderr();
    assert!(log.contains("is not the key of the certificate in cert.pem"), "{log}");
}
