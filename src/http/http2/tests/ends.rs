//! Ends of streams and of connections: resets, slow and silent clients, the drain.

use super::*;

on_a_connection! {
    a_reset_stream_drops_its_request: async |mut client: Client| {
        let (response, _) = client.send("GET", "/held").await;
        let held = Rc::clone(&client.held);
        until(|| held.get() == 1).await;
        drop(response);
        until(|| held.get() == 0).await;
    };

    a_closed_connection_drops_its_requests: async |mut client: Client| {
        let (_response, _) = client.send("GET", "/held").await;
        let held = Rc::clone(&client.held);
        until(|| held.get() == 1).await;
        client.closed.abort();
        until(|| held.get() == 0).await;
    };

    a_connection_without_a_request_ends_soon: async |client: Client| {
        let seconds = client.closed().await;
        assert!((10..=16).contains(&seconds), "{seconds}");
    };

    an_idle_connection_ends_but_not_a_held_request: async |mut client: Client| {
        let (response, _) = client.send("GET", "/held").await;
        tokio::time::sleep(Duration::from_secs(300)).await;
        drop(response);
        let seconds = client.closed().await;
        assert!((75..=81).contains(&seconds), "{seconds}");
    };

    a_response_that_is_not_read_is_reset_and_the_connection_goes_on: async |mut client: Client| {
        let (held, _) = client.send("GET", "/held").await;
        let (began, mut unread) = (Instant::now(), client.get("/endless").await.into_body());
        let mut received = 0;
        let error = loop {
            match unread.data().await.unwrap() {
                Ok(chunk) => received += chunk.len(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
        assert!((60..=61).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert!(received < 1 << 20, "{received}");
        // The window of the connection.
        unread.flow_control().release_capacity(received).unwrap();
        assert!(text(client.get("/").await).await.starts_with("GET / "));
        assert_eq!(client.held.get(), 1);
        drop(held);
    };

    a_small_response_that_is_not_read_is_reset_too: async |_: Client| {
        let mut client = Client::with_window(1).await;
        let mut unread = client.get("/").await.into_body();
        assert_eq!(unread.data().await.unwrap().unwrap().len(), 1);
        let began = Instant::now();
        let error = unread.data().await.unwrap().unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
        assert!((59..=61).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    };

    a_client_that_reads_nothing_at_all_is_disconnected: async |mut client: Client| {
        let held = Rc::clone(&client.held);
        let _held = client.send("GET", "/held").await;
        let _endless = client.send("GET", "/endless").await;
        until(|| held.get() == 1).await;
        client.is_frozen.set(true);
        let began = Instant::now();
        while held.get() > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!((50..=66).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    };

    a_client_that_reads_slowly_is_not_disconnected: async |mut client: Client| {
        let mut body = client.get("/large").await.into_body();
        let (began, mut received) = (Instant::now(), 0);
        while let Some(chunk) = body.data().await {
            let chunk = chunk.unwrap_or_else(|error| panic!("{error} after {:?}, {received} bytes", began.elapsed()));
            received += chunk.len();
            body.flow_control().release_capacity(chunk.len()).unwrap();
            // At 8 KB/s.
            tokio::time::sleep(Duration::from_millis(chunk.len() as u64 / 8)).await;
        }
        assert_eq!(received, LARGE);
        assert!(began.elapsed() > Duration::from_secs(400), "{:?}", began.elapsed());
    };

    a_client_that_does_not_answer_goaway_delays_the_drain_for_seconds_only: async |mut client: Client| {
        text(client.get("/").await).await;
        client.is_frozen.set(true);
        let began = Instant::now();
        client.draining.close_gradually().await;
        client.draining.end();
        client.served.await.unwrap();
        assert!(began.elapsed() <= CLOSE_TIMEOUT + Duration::from_millis(10), "{:?}", began.elapsed());
    };

    the_drain_ends_a_connection_after_its_requests: async |mut client: Client| {
        let (response, _) = client.send("GET", "/slow").await;
        let held = Rc::clone(&client.held);
        until(|| held.get() == 1).await;
        client.draining.close_gradually().await;
        client.draining.end();
        assert_eq!(text(response.await.unwrap()).await, "slow");
        let seconds = client.closed().await;
        assert!(seconds <= 1, "{seconds}");
    };
}
