//! The game server as a process: how it starts, what it says of itself, how it ends.

use serde_json::json;

use crate::harness::app::App;

#[tokio::test]
async fn a_game_server_says_that_it_is_well_and_ends_when_asked_to() {
    let app = App::new(&[]).await;
    let mut server = app.game_server();
    assert_eq!(app.get(server.url(), "/healthz").await, (200, json!({ "status": "ok" })));
    app.until(server.url(), "ready").await;
    assert_eq!(app.get(server.url(), "/nowhere").await.0, 404);
    assert!(server.stop().success());
}
