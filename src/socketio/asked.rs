//! What a request of Engine.IO asks for, as its query says.

use socketioxide::socket::Sid;

use crate::http::Problem;
use crate::ids::Invalid;

/// How packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    Websocket,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Websocket => "websocket",
        }
    }
}

/// What a request asks for: a new session, or one that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) transport: Transport,
    pub(super) session: Option<Sid>,
}

impl Asked {
    /// Reads a query.
    ///
    /// # Errors
    /// 400: the field that is wrong. A session may still be unknown.
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let field = |name: &str| query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let wrong = |name: &str, expected| {
            let invalid = field(name).map_or_else(|| Invalid::json(None, expected), |got| Invalid::text(got, expected));
            Problem::field(name, &invalid)
        };
        if field("EIO") != Some("4") {
            return Err(wrong("EIO", "4, the protocol of Socket.IO clients since version 3"));
        }
        let transport = match field("transport") {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::Websocket,
            _ => return Err(wrong("transport", "polling or websocket")),
        };
        let session = field("sid").map(str::parse).transpose();
        let session = session.map_err(|_| wrong("sid", "the id of an open session"))?;
        Ok(Self { transport, session })
    }

    /// The request that engineioxide is given: what it needs and no more, since it keeps it as long as the session.
    pub(super) fn request<B>(&self, method: http::Method, body: B) -> Result<http::Request<B>, Problem> {
        let mut uri = format!("/socket.io/?EIO=4&transport={}", self.transport.name());
        if let Some(session) = self.session {
            uri.push_str(&format!("&sid={session}"));
        }
        http::Request::builder().method(method).uri(uri).body(body).map_err(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(query: &str) -> String {
        Asked::parse(query).unwrap_err().to_string()
    }

    #[test]
    fn a_session_is_asked_for_by_transport_and_id() {
        let new = Asked::parse("EIO=4&transport=polling&t=Pxyz").unwrap();
        assert_eq!(new, Asked { transport: Transport::Polling, session: None });
        let known = Asked::parse("transport=websocket&sid=AAAAAAAAAAAAAAHs&EIO=4").unwrap();
        assert_eq!(known.session.unwrap().to_string(), "AAAAAAAAAAAAAAHs");
        let uri = known.request(http::Method::GET, ()).unwrap().uri().to_string();
        assert_eq!(uri, "/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAHs");
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert_eq!(
            refusal("EIO=3&transport=polling"),
            "EIO: got the string \"3\", expected 4, the protocol of Socket.IO clients since version 3"
        );
        assert_eq!(refusal("EIO=4"), "transport: got nothing, expected polling or websocket");
        assert!(refusal("").starts_with("EIO: got nothing"));
        assert!(refusal("EIO=4&transport=webtransport").starts_with("transport: got the string \"webtransport\""));
        for sid in ["", "x", "AAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAHsA"] {
            assert!(refusal(&format!("EIO=4&transport=polling&sid={sid}")).starts_with("sid: got"), "{sid}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "[ -~é]{0,80}|EIO=4&transport=polling&sid=[ -~é]{0,24}") {
            if let Ok(asked) = Asked::parse(&query) {
                prop_assert!(asked.request(http::Method::GET, ()).is_ok());
            }
        }
    }
}
