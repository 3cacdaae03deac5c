//! Connections, during and after the handshake.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use rustls::{ClientConnection, Stream};

use super::{Certificate, Error, Result};

/// A connection over `S`.
#[derive(Debug)]
pub struct TlsStream<S> {
    connection: ClientConnection,
    socket: S,
}

impl<S> TlsStream<S> {
    /// The underlying stream.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// The underlying stream. Reading or writing it breaks the connection.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// The certificate of the server.
    ///
    /// # Errors
    /// Never.
    pub fn peer_certificate(&self) -> Result<Option<Certificate>> {
        let first = self.connection.peer_certificates().and_then(<[_]>::first);
        Ok(first.map(|certificate| Certificate(certificate.clone().into_owned())))
    }
}

impl<S: Read + Write> TlsStream<S> {
    /// Tells the server that nothing more will be sent.
    ///
    /// # Errors
    /// When the underlying stream fails or would block.
    pub fn shutdown(&mut self) -> io::Result<()> {
        self.connection.send_close_notify();
        self.flush()
    }

    fn stream(&mut self) -> Stream<'_, ClientConnection, S> {
        Stream::new(&mut self.connection, &mut self.socket)
    }
}

impl<S: Read + Write> Read for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream().read(buffer)
    }
}

impl<S: Read + Write> Write for TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream().flush()?;
        self.socket.flush()
    }
}

/// A handshake that waits for the underlying stream.
#[derive(Debug)]
pub struct MidHandshakeTlsStream<S>(Box<TlsStream<S>>);

impl<S> MidHandshakeTlsStream<S> {
    pub(crate) fn new(connection: ClientConnection, socket: S) -> Self {
        Self(Box::new(TlsStream { connection, socket }))
    }

    /// The underlying stream.
    pub fn get_ref(&self) -> &S {
        self.0.get_ref()
    }

    /// The underlying stream.
    pub fn get_mut(&mut self) -> &mut S {
        self.0.get_mut()
    }
}

impl<S: Read + Write> MidHandshakeTlsStream<S> {
    /// Continues the handshake.
    ///
    /// # Errors
    /// When it fails, or the stream would block again.
    pub fn handshake(mut self) -> std::result::Result<TlsStream<S>, HandshakeError<S>> {
        let TlsStream { connection, socket } = &mut *self.0;
        while connection.is_handshaking() || connection.wants_write() {
            match connection.complete_io(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(HandshakeError::WouldBlock(self)),
                Err(error) => return Err(HandshakeError::Failure(Error::new(error))),
            }
        }
        Ok(*self.0)
    }
}

/// The end of an attempt at a handshake.
#[derive(Debug)]
pub enum HandshakeError<S> {
    /// The handshake has failed.
    Failure(Error),
    /// The underlying stream would block: the handshake can be continued.
    WouldBlock(MidHandshakeTlsStream<S>),
}

impl<S> fmt::Display for HandshakeError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failure(error) => error.fmt(f),
            Self::WouldBlock(_) => f.write_str("the handshake would block"),
        }
    }
}

impl<S: fmt::Debug> StdError for HandshakeError<S> {}
