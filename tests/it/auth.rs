//! The bearer token, and the refusal to listen on public addresses without one.

use crate::harness::app::{App, answer};
use crate::harness::binary::Workdir;
use crate::harness::pictures::jpeg;

#[tokio::test]
async fn everything_except_health_and_thumbnails_needs_the_token() {
    let app = App::new(&["auth.token=s3cret"]).await;
    let up = app.up();
    let url = up.url();
    for path in ["/status/1", "/status-live/1", "/jobs/x", "/jobs/x/live", "/uploads/thumbs/x.jpg", "/nothing"] {
        let (status, problem) = app.get(url, path).await;
        assert_eq!(status, 401, "{path}: {problem}");
    }
    let refused = app.http.post(format!("{url}/enqueue")).bearer_auth("wrong").body("{}").send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    for path in ["/healthz", "/readyz"] {
        assert_eq!(app.get(url, path).await.0, 200, "{path}");
    }

    let part = reqwest::multipart::Part::bytes(jpeg(1)).file_name("x.jpg");
    let form = reqwest::multipart::Form::new().text("userId", "1").part("image", part);
    let accepted = answer(app.http.post(format!("{url}/enqueue")).bearer_auth("s3cret").multipart(form)).await.unwrap();
    assert_eq!(accepted.0, 200, "{}", accepted.1);
    let live = app.http.get(format!("{url}/status-live/1")).bearer_auth("s3cret");
    let (_, done) = answer(live).await.unwrap();
    let thumbnail = format!("{url}{}", done["thumbnailUrl"].as_str().unwrap());
    assert_eq!(app.http.get(thumbnail).send().await.unwrap().status(), 200);
    app.assert_no_job_is_left().await;
}

#[test]
fn a_public_address_needs_a_token_or_explicit_consent() {
    let dir = Workdir::new();
    for command in ["up", "serve"] {
        let ran = dir.run(&[command, "--host", "0.0.0.0", "--port", "0"]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("auth.token") && ran.stderr.contains("0.0.0.0"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn with_a_token_or_explicit_consent_any_address_is_allowed() {
    for setting in ["auth.token=s3cret-0123456789", "auth.allow_anonymous=true"] {
        let app = App::new(&[setting, "serve.host=0.0.0.0"]).await;
        let mut up = app.up();
        assert!(up.url().starts_with("http://0.0.0.0:"), "{}", up.first_line);
        assert!(up.stop().success());
    }
}

#[test]
fn a_public_address_needs_a_token_that_cannot_be_guessed() {
    let dir = Workdir::new();
    for command in ["up", "serve", "game-server"] {
        let ran = dir.run(&[command, "--host", "0.0.0.0", "--port", "0", "--set", "auth.token=s3cret"]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains("16") && ran.stderr.contains("m3a3 token generate"), "{}", ran.stderr);
    }
}

#[test]
fn a_generated_token_is_long_random_and_a_valid_setting() {
    let dir = Workdir::new();
    let [one, other] = [(); 2].map(|()| dir.run(&["token", "generate"]).stdout.trim().to_owned());
    assert!(one.len() == 64 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    assert_ne!(one, other);
    let shown = dir.run(&["config", "show", "--set", &format!("auth.token={one}")]);
    assert!(shown.stdout.contains("token = \"[set]\"") && !shown.stdout.contains(&one), "{}", shown.stdout);
}
