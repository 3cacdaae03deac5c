//! The pages: caching and Content Security Policy.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Method, Response};
use sha2::{Digest, Sha256};

use crate::harness::app::{App, Process};
use crate::harness::problem::assert_refused;

/// Both servers of an installation with a token, and the paths of their pages.
fn pages(app: &App) -> Vec<(Process, &'static str)> {
    vec![(app.serve(), "/"), (app.serve(), "/docs"), (app.game_server(), "/"), (app.game_server(), "/docs")]
}

async fn ask(app: &App, method: Method, url: &str, etag: Option<&str>) -> Response {
    let mut request = app.http.request(method, url);
    if let Some(etag) = etag {
        request = request.header("if-none-match", etag);
    }
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn pages_need_no_token_and_are_cached_until_they_change() {
    let app = App::new(&["auth.token=s3cret"]).await;
    for (process, path) in pages(&app) {
        let url = format!("{}{path}", process.url());
        let page = ask(&app, Method::GET, &url, None).await;
        assert_eq!((page.status().as_u16(), header(&page, "content-type")), (200, "text/html; charset=utf-8"));
        assert_eq!((header(&page, "cache-control"), header(&page, "x-content-type-options")), ("no-cache", "nosniff"));
        let etag = header(&page, "etag").to_owned();
        let length = header(&page, "content-length").to_owned();

        let head = ask(&app, Method::HEAD, &url, None).await;
        assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, length.as_str()));
        assert_eq!(head.bytes().await.unwrap(), "");
        for tags in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
            let unchanged = ask(&app, Method::GET, &url, Some(&tags)).await;
            assert_eq!((unchanged.status().as_u16(), header(&unchanged, "etag")), (304, etag.as_str()), "{tags}");
            assert_eq!(unchanged.bytes().await.unwrap(), "");
        }
        assert_eq!(ask(&app, Method::GET, &url, Some("\"other\"")).await.status(), 200);
        assert_refused("POST", app.http.post(&url), 405, "GET, HEAD").await;
    }
}

#[tokio::test]
async fn pages_run_only_their_own_script() {
    let app = App::new(&[]).await;
    for (process, path) in pages(&app) {
        let page = ask(&app, Method::GET, &format!("{}{path}", process.url()), None).await;
        let policy = header(&page, "content-security-policy").to_owned();
        for rule in ["default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let html = page.text().await.unwrap();
        for (open, close) in [("<script>", "</script>"), ("<style>", "</style>")] {
            let inside = html.split_once(open).unwrap().1.split_once(close).unwrap().0;
            let hash = BASE64_STANDARD.encode(Sha256::digest(inside));
            assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
        }
        // Absolute URLs would load from the internet; the namespace of SVG is only an identifier.
        let html = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains("://") && !html.contains("src=") && !html.contains("innerHTML"), "{path}");
    }
}
