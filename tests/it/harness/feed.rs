//! A reader of server-sent events.

use serde_json::Value;

use super::within;

/// An open feed.
pub struct Feed {
    response: reqwest::Response,
    unread: String,
}

impl Feed {
    /// Opens a feed, and asserts its headers.
    pub async fn open(http: &reqwest::Client, url: &str) -> Self {
        let response = within("the feed opens", http.get(format!("{url}/leaderboard-feed")).send()).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        Self { response, unread: String::new() }
    }

    /// The response's headers.
    pub fn headers(&self) -> &reqwest::header::HeaderMap {
        self.response.headers()
    }

    /// The next block of lines; `None` after the server has closed the feed properly.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let block = block.to_owned();
                self.unread = rest.to_owned();
                return Some(block);
            }
            let chunk = within("the feed says something", self.response.chunk()).await.unwrap()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The event id and the board of the next event, after any heartbeats.
    pub async fn board(&mut self) -> (u64, Value) {
        within("the feed sends a board", async {
            loop {
                let block = self.block().await.expect("a board");
                let mut lines = block.lines();
                let Some(id) = lines.next().and_then(|line| line.strip_prefix("id: ")) else { continue };
                let data = lines.next().and_then(|line| line.strip_prefix("data: ")).expect("data after the id");
                return (id.parse().unwrap(), serde_json::from_str(data).unwrap());
            }
        })
        .await
    }

    /// Reads boards until one equals `expected`.
    pub async fn until(&mut self, expected: &Value) {
        self.until_board(|board| board == expected).await;
    }

    /// Reads boards until one is as wanted.
    pub async fn until_board(&mut self, is_wanted: impl Fn(&Value) -> bool) {
        within("the feed sends the board", async { while !is_wanted(&self.board().await.1) {} }).await;
    }

    /// Reads blocks until one ends with this text.
    pub async fn until_text(&mut self, end: &str) {
        within("the feed sends the text", async { while !self.block().await.unwrap().ends_with(end) {} }).await;
    }

    /// Reads until the server has closed the feed properly.
    pub async fn until_closed(&mut self) {
        within("the feed ends", async { while self.block().await.is_some() {} }).await;
    }
}
