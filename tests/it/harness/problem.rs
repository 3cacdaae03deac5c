//! Checks the form of problems.

use serde_json::Value;

use super::raw_http::RawAnswer;

/// Sends a request that must be refused with this status, as an RFC 9457 problem whose detail contains `names`. Returns
/// the detail.
pub async fn assert_refused(what: &str, request: reqwest::RequestBuilder, status: u16, names: &str) -> String {
    let response = request.send().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let got = response.status().as_u16();
    let content_type = response.headers().get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let body = response.text().await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_problem(what, got, content_type.as_deref(), &body, status, names)
}

/// As [`assert_refused`], for a raw response.
pub fn assert_raw_problem(what: &str, answer: &RawAnswer, status: u16, names: &str) -> String {
    let content_type = answer.head.lines().find_map(|line| line.strip_prefix("content-type: "));
    let body = String::from_utf8_lossy(&answer.body);
    assert_problem(what, answer.status, content_type, &body, status, names)
}

fn assert_problem(what: &str, got: u16, content_type: Option<&str>, body: &str, status: u16, names: &str) -> String {
    assert_eq!((got, content_type), (status, Some("application/problem+json")), "{what}: {body}");
    let problem: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{what}: {error}: {body}"));
    let text = |name: &str| problem[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let detail = text("detail").unwrap_or_else(|| panic!("{what}: no detail: {body}"));
    assert!(detail.contains(names), "{what}: {names:?} is not named in {detail:?}");
    assert!(detail.len() < 1000, "{what}: a detail of {} bytes", detail.len());
    assert_eq!(problem["message"], problem["detail"], "{what}");
    assert_eq!(problem["status"], status, "{what}");
    assert!(text("type").is_some() && text("title").is_some() && text("requestId").is_some(), "{what}: {body}");
    detail
}
