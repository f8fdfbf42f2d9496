//! HTTP for the mock provider and the receivers of webhooks: one request a connection, and the usual failures.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::{app::TIMEOUT, provider::Cut, raw::reset};

const LARGEST_BODY: usize = 1024 * 1024;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// An answer of any content type.
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }.header("Content-Type", content_type)
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// An error of OAuth (RFC 6749 §5.2).
    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::json(status, &json!({ "error": code }))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The bytes on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", self.status);
        let mut has_length = false;
        for (name, value) in &self.headers {
            has_length |= name.eq_ignore_ascii_case("Content-Length");
            head += &format!("{name}: {value}\r\n");
        }
        if !has_length && self.status != 204 {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        [(head + "\r\n").as_bytes(), &self.body].concat()
    }
}

/// A received request.
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A client's connection.
pub(crate) struct Connection {
    stream: Stream,
    /// The socket below TLS.
    socket: TcpStream,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Connection {
    pub(crate) fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Self {
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        let stream = socket.try_clone().expect("clone");
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let session = ServerConnection::new(Arc::clone(config)).expect("a session");
                Stream::Tls(Box::new(StreamOwned::new(session, stream)))
            }
        };
        Self { stream, socket }
    }

    /// Reads the request; `None` if the client leaves before its end, for example because it rejects the certificate.
    pub(crate) fn read(&mut self) -> Option<Received> {
        let mut bytes = Vec::new();
        let head_end = loop {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => self.read_some(&mut bytes)?,
            }
        };
        let head = String::from_utf8(bytes[..head_end].to_vec()).expect("a head is text");
        let mut lines = head.lines();
        let mut first = lines.next()?.split(' ').map(str::to_owned);
        let (method, path) = (first.next()?, first.next()?);
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut request = Received { method, path, headers, body: bytes.split_off(head_end) };
        let length = request.header("Content-Length").map_or(0, |text| text.parse().expect("it"));
        assert!(length <= LARGEST_BODY, "a body of {length} bytes");
        while request.body.len() < length {
            self.read_some(&mut request.body)?;
        }
        Some(request)
    }

    fn read_some(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let mut buffer = [0; 4096];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer),
            Stream::Tls(stream) => stream.read(&mut buffer),
        };
        let read = read.ok().filter(|read| *read > 0)?;
        bytes.extend(&buffer[..read]);
        Some(())
    }

    /// Sends the bytes one by one; returns whether the client received them all.
    pub(crate) fn drip(&mut self, bytes: &[u8], pause: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(10);
        bytes.iter().all(|byte| {
            let next = Instant::now() + pause;
            while self.is_open() && Instant::now() < next {
                thread::sleep(LOOK.min(pause));
            }
            self.is_open() && self.send(&[*byte])
        })
    }

    /// Sends bytes; returns whether the client received them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        sent.is_ok()
    }

    /// Ends the connection.
    pub(crate) fn cut(mut self, how: Cut) {
        if let Cut::Reset = how {
            drop(self.stream);
            return reset(self.socket);
        }
        if let Stream::Tls(stream) = &mut self.stream {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        let _ = self.socket.shutdown(Shutdown::Write);
        // Unread data would turn the end into a reset.
        let mut rest = [0; 4096];
        while self.socket.read(&mut rest).is_ok_and(|read| read > 0) {}
    }

    /// Whether the client is still there.
    pub(crate) fn is_open(&self) -> bool {
        self.socket.set_nonblocking(true).expect("it does not wait");
        let peeked = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false).expect("it waits again");
        match peeked {
            Ok(length) => length > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}
