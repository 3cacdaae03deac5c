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

    /// The event id and the board of the next event.
    pub async fn board(&mut self) -> (u64, Value) {
        loop {
            let block = self.block().await.expect("a board");
            let mut lines = block.lines();
            let Some(id) = lines.next().and_then(|line| line.strip_prefix("id: ")) else { continue };
            let data = lines.next().and_then(|line| line.strip_prefix("data: ")).expect("data after the id");
            return (id.parse().unwrap(), serde_json::from_str(data).unwrap());
        }
    }

    /// Reads boards until one equals `expected`.
    pub async fn until(&mut self, expected: &Value) {
        while self.board().await.1 != *expected {}
    }
}
