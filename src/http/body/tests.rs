use std::time::Duration;

use actix_web::FromRequest;
use actix_web::ResponseError;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::ContentType;
use actix_web::test::TestRequest;
use futures_util::stream;

use super::*;

#[test]
fn invalid_json_is_refused_by_the_name_of_its_field() {
    let detail = |body: &str| parse::<Value>(body.as_bytes()).unwrap_err().to_string();
    for bad in [
        r#"{"username":"a","score":NaN}"#,
        r#"{"username":"a","score": 1e999}"#,
        "{\n \"score\":\n -Infinity, \"username\": \"a\"}",
        r#"{"score":1e999,"username":"a"}"#,
        r#"{"score":"#,
    ] {
        assert!(detail(bad).starts_with("score: got no valid value. The body is not valid JSON"), "{}", detail(bad));
    }
    for bad in [
        "",
        "{",
        r#"{"score":1,}"#,
        r#"{"score":1,"user"#,
        r#"{"":x}"#,
        "\u{feff}",
        "\u{feff}\u{feff}{}",
        "{'score':1}",
    ] {
        assert!(detail(bad).starts_with("The body is not valid JSON"), "{}", detail(bad));
    }
}

#[test]
fn unknown_fields_are_refused_by_name_with_the_known_ones() {
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code, reason = "only its fields' names matter")]
    struct Request {
        #[serde(default)]
        user_id: u64,
        #[serde(default)]
        e_mail: String,
    }
    let detail = |body: &str| parse::<Request>(body.as_bytes()).unwrap_err().to_string();
    assert!(parse::<Request>(br#"{"userId":1}"#).is_ok());
    assert_eq!(
        detail(r#"{"userId":"x","mail":1,"user_id":2}"#),
        "mail: got an unknown field, expected \"userId\" or \"eMail\"; \
         user_id: got an unknown field, expected \"userId\" or \"eMail\""
    );
    assert_eq!(detail(r#"{"userId":"x"}"#), "userId: got a value of another type.");
    assert!(detail(&format!("{{\"{}\":1}}", "x".repeat(1 << 20))).len() < 200);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(parse::<Value>("\u{feff}{\"a\":1}".as_bytes()).unwrap()["a"], 1);
}

#[test]
fn compressed_bodies_are_refused() {
    let status = |coding: &'static [u8]| {
        let coding = header::HeaderValue::from_bytes(coding).unwrap();
        let request = TestRequest::default().insert_header((header::CONTENT_ENCODING, coding)).to_http_request();
        media_type(&request).err().map(|problem| (problem.status_code().as_u16(), problem.to_string()))
    };
    for accepted in [&b""[..], b"identity", b"Identity, identity"] {
        assert_eq!(status(accepted), None);
    }
    for refused in [&b"gzip"[..], b"br", b"identity, zstd", b"aws-chunked", b"\xff"] {
        let (status, detail) = status(refused).unwrap();
        assert_eq!(status, 415);
        assert!(detail.starts_with("Content-Encoding: got "), "{detail}");
    }
}

proptest::proptest! {
    #[test]
    fn any_body_but_a_json_object_is_refused(body in ".*") {
        let is_object = serde_json::from_slice::<Value>(body.as_bytes()).is_ok_and(|value| value.is_object());
        proptest::prop_assert_eq!(parse::<Value>(body.as_bytes()).is_ok(), is_object);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_refused() {
    let start = Ok::<_, PayloadError>(web::Bytes::from_static(b"{\"userId\":"));
    let silent = stream::iter([start]).chain(stream::pending());
    let mut payload = Payload::Stream { payload: silent.boxed_local() };
    let request = TestRequest::default().insert_header(ContentType::json()).to_http_request();
    let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
    let problem = json::<Value>(&request, payload).await.unwrap_err();
    assert_eq!(problem.status_code(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_arrives_byte_by_byte_is_refused() {
    let trickle = stream::repeat(web::Bytes::from_static(b" ")).then(async |byte| {
        tokio::time::sleep(Duration::from_secs(29)).await;
        Ok::<_, PayloadError>(byte)
    });
    let mut payload = Payload::Stream { payload: trickle.boxed_local() };
    let request = TestRequest::default().insert_header(ContentType::json()).to_http_request();
    let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
    let problem = json::<Value>(&request, payload).await.unwrap_err();
    assert_eq!(problem.status_code(), StatusCode::REQUEST_TIMEOUT, "{problem}");
}
