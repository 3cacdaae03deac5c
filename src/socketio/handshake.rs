//! What a request of Engine.IO asks for, as its query says.

use socketioxide::socket::Sid;

use super::error::InvalidRequest;
use crate::http::Problem;

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

/// The method of a request, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Other,
}

impl Method {
    pub(super) fn of(method: &actix_web::http::Method) -> Self {
        if method == actix_web::http::Method::GET { Self::Get } else { Self::Other }
    }
}

/// What a request asks for: a new session, or one that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HandshakeQuery {
    pub(super) transport: Transport,
    pub(super) session: Option<Sid>,
}

impl HandshakeQuery {
    /// Reads a query, and checks it in the order in which engine.io does. A session that it names may still be unknown.
    ///
    /// # Errors
    /// What engine.io would refuse it for.
    pub(super) fn parse(query: &str, method: Method) -> Result<Self, InvalidRequest> {
        let field = |name: &str| query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let transport = match field("transport") {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::Websocket,
            _ => return Err(InvalidRequest::UnknownTransport),
        };
        // engine.io takes an empty id for none.
        if let Some(session) = field("sid").filter(|session| !session.is_empty()) {
            let session = session.parse().map_err(|_| InvalidRequest::UnknownSession)?;
            return Ok(Self { transport, session: Some(session) });
        }
        if method != Method::Get {
            return Err(InvalidRequest::BadHandshakeMethod);
        }
        if field("EIO") != Some("4") {
            return Err(InvalidRequest::UnsupportedProtocolVersion);
        }
        Ok(Self { transport, session: None })
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

    fn refusal(query: &str) -> InvalidRequest {
        HandshakeQuery::parse(query, Method::Get).unwrap_err()
    }

    #[test]
    fn a_session_is_asked_for_by_transport_and_id() {
        let new = HandshakeQuery::parse("EIO=4&transport=polling&t=Pxyz&sid=", Method::Get).unwrap();
        assert_eq!(new, HandshakeQuery { transport: Transport::Polling, session: None });
        for query in ["transport=websocket&sid=AAAAAAAAAAAAAAHs&EIO=4", "transport=websocket&sid=AAAAAAAAAAAAAAHs"] {
            let known = HandshakeQuery::parse(query, Method::Other).unwrap();
            assert_eq!(known.session.unwrap().to_string(), "AAAAAAAAAAAAAAHs");
            let uri = known.request(http::Method::GET, ()).unwrap().uri().to_string();
            assert_eq!(uri, "/socket.io/?EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAHs");
        }
    }

    #[test]
    fn an_invalid_request_is_refused_for_what_engine_io_finds_first() {
        for query in ["", "EIO=4", "EIO=4&transport=webtransport", "EIO=3&transport=&sid=x"] {
            assert_eq!(refusal(query), InvalidRequest::UnknownTransport, "{query}");
        }
        for sid in ["x", "AAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAHsA"] {
            let query = format!("EIO=3&transport=polling&sid={sid}");
            assert_eq!(refusal(&query), InvalidRequest::UnknownSession, "{sid}");
        }
        for query in ["transport=polling", "EIO=3&transport=polling", "EIO=&transport=websocket"] {
            assert_eq!(refusal(query), InvalidRequest::UnsupportedProtocolVersion, "{query}");
            let posted = HandshakeQuery::parse(query, Method::Other);
            assert_eq!(posted, Err(InvalidRequest::BadHandshakeMethod), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "[ -~é]{0,80}|EIO=4&transport=polling&sid=[ -~é]{0,24}") {
            if let Ok(query) = HandshakeQuery::parse(&query, Method::Get) {
                prop_assert!(query.request(http::Method::GET, ()).is_ok());
            }
        }
    }
}
