//! Requests and responses, their parts and their limits.

use super::*;

on_a_connection! {
    a_request_and_its_response_keep_their_parts: async |mut client: Client| {
        let (response, mut body) = client.send("POST", "/echo?a=%20b").await;
        body.send_data(Bytes::from_static(b"first "), false).unwrap();
        body.send_data(Bytes::from_static(b"second"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["x-answer"], "1");
        let expected = "POST /echo?a=%20b example.org 1 192.0.2.1:1000 first second";
        assert_eq!(response.headers()["content-length"], expected.len().to_string().as_str());
        assert_eq!(text(response).await, expected);

        let (response, _) = client.send("DELETE", "/").await;
        assert_eq!(response.await.unwrap().status(), 409);
    };

    a_response_to_head_has_the_length_and_no_body: async |mut client: Client| {
        let (response, _) = client.send("HEAD", "/large").await;
        let response = response.await.unwrap();
        assert_eq!(response.headers()["content-length"], LARGE.to_string().as_str());
        assert!(response.into_body().is_end_stream());
    };

    a_large_response_arrives_whole: async |mut client: Client| {
        let (body, error) = read(client.get("/large").await.into_body()).await;
        assert!(body == vec![7; LARGE] && error.is_none(), "{} bytes, {error:?}", body.len());
    };

    a_body_that_ends_early_resets_its_stream: async |mut client: Client| {
        // hyper may reset it before it has sent the response.
        let error = match client.send("GET", "/short").await.0.await {
            Ok(response) => read(response.into_body()).await.1.unwrap(),
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
        assert!(text(client.get("/").await).await.starts_with("GET / "), "the connection goes on");
    };

    a_connection_has_a_limited_number_of_streams: async |mut client: Client| {
        text(client.get("/").await).await;
        let mut held = Vec::new();
        for _ in 0..MAX_STREAMS {
            held.push(client.send("GET", "/held").await);
        }
        let next = client.send("GET", "/").await;
        let count = Rc::clone(&client.held);
        until(|| count.get() == MAX_STREAMS as usize).await;
        held.pop();
        assert_eq!(next.0.await.unwrap().status(), 200);
    };

    a_head_that_is_too_large_is_refused: async |mut client: Client| {
        let request = http::Request::builder().uri("https://example.org/");
        let request = request.header("x-large", "a".repeat(MAX_HEAD_BYTES as usize)).body(()).unwrap();
        let sent = client.requests.send_request(request, true).unwrap();
        assert_eq!(sent.0.await.unwrap().status(), 431);
        assert!(text(client.get("/").await).await.starts_with("GET / "), "the connection goes on");
    };

    an_invalid_target_or_host_is_refused: async |mut client: Client| {
        for (uri, host) in [("https://example.org/é", None), ("/", None), ("/", Some(["a", "b"]))] {
            let mut request = http::Request::get(uri);
            for host in host.iter().flatten() {
                request = request.header("host", *host);
            }
            let (response, _) = client.requests.send_request(request.body(()).unwrap(), true).unwrap();
            assert_eq!(response.await.unwrap().status(), 400, "{uri} {host:?}");
        }
    };

    a_body_that_is_reset_is_incomplete: async |mut client: Client| {
        for reason in [h2::Reason::NO_ERROR, h2::Reason::CANCEL] {
            let (_response, mut body) = client.send("POST", "/body").await;
            body.send_data(Bytes::from_static(b"a part"), false).unwrap();
            let errors = Rc::clone(&client.errors);
            let before = errors.get();
            body.send_reset(reason);
            until(|| errors.get() > before).await;
        }
    };

    responses_without_content_have_no_length: async |mut client: Client| {
        for status in [204, 304] {
            let response = client.get(&format!("/{status}")).await;
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().get("content-length"), None, "{status}");
        }
    };
}
