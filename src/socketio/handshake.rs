//! The query of an Engine.IO request: protocol version, transport, session.

use socketioxide::socket::Sid;

use super::error::InvalidRequest;
use crate::http::Problem;

/// With or without a slash at the end.
pub(super) const PATHS: [&str; 2] = ["/socket.io", "/socket.io/"];

/// The transport of the packets.
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

/// The methods that the handshake distinguishes.
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

/// A valid query. Without a session it is the handshake of a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HandshakeQuery {
    pub(super) transport: Transport,
    pub(super) session: Option<Sid>,
}

impl HandshakeQuery {
    /// Parses a query, with the checks of engine.io in the same order. Does not check that the session exists.
    ///
    /// # Errors
    /// The error of engine.io.
    pub(super) fn parse(query: &str, method: Method) -> Result<Self, InvalidRequest> {
        let field = |name: &str| query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let transport = match field("transport") {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::Websocket,
            _ => return Err(InvalidRequest::UnknownTransport),
        };
        // An empty id means none in engine.io.
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

    /// The request for engineioxide. It contains only what engineioxide needs, because that keeps it as long as the
    /// session.
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

    fn error(query: &str) -> InvalidRequest {
        HandshakeQuery::parse(query, Method::Get).unwrap_err()
    }

    #[test]
    fn a_query_has_a_transport_and_a_session() {
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
    fn an_invalid_query_is_rejected_with_the_first_error_of_engine_io() {
        for query in ["", "EIO=4", "EIO=4&transport=webtransport", "EIO=3&transport=&sid=x"] {
            assert_eq!(error(query), InvalidRequest::UnknownTransport, "{query}");
        }
        for sid in ["x", "AAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAHsA"] {
            let query = format!("EIO=3&transport=polling&sid={sid}");
            assert_eq!(error(&query), InvalidRequest::UnknownSession, "{sid}");
        }
        for query in ["transport=polling", "EIO=3&transport=polling", "EIO=&transport=websocket"] {
            assert_eq!(error(query), InvalidRequest::UnsupportedProtocolVersion, "{query}");
            let posted = HandshakeQuery::parse(query, Method::Other);
            assert_eq!(posted, Err(InvalidRequest::BadHandshakeMethod), "{query}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_parsed_or_rejected(query in "[ -~é]{0,80}|EIO=4&transport=polling&sid=[ -~é]{0,24}") {
            if let Ok(query) = HandshakeQuery::parse(&query, Method::Get) {
                prop_assert!(query.request(http::Method::GET, ()).is_ok());
            }
        }
    }
}
