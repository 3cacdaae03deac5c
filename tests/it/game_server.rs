//! The process of the game server: start, readiness, shutdown.

use serde_json::json;

use crate::harness::app::App;

#[tokio::test]
async fn a_game_server_becomes_ready_and_exits_at_sigterm() {
    let app = App::new(&[]).await;
    let mut server = app.game_server();
    assert_eq!(app.get(server.url(), "/healthz").await, (200, json!({ "status": "ok" })));
    app.until(server.url(), "ready").await;
    assert_eq!(app.get(server.url(), "/nowhere").await.0, 404);
    assert!(server.stop().success());
}
