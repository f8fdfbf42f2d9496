//! A client's connection, as the HTTP framework reads and writes it.
//!
//! Invariant: no byte is read from a connection while its answers wait to be sent. The framework gets the ends of at
//! most `HEADS` heads at a time, so that the requests it keeps are bounded.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::{Times, registry::Place};

/// The maximum number of requests that the framework reads from a connection before it sends the pending answers.
const HEADS: usize = 16;

/// The start of an interim answer, after which the request continues.
const INTERIM: &[u8] = b"HTTP/1.1 100 ";

/// A connection of a client, with or without TLS.
pub(crate) struct Stream {
    transport: Transport,
    place: Place,
    times: Times,
    heads: HeadScanner,
    /// The number of heads that ended in the bytes handed out since the last flush.
    heads_taken: usize,
    /// Bytes that were read after those heads.
    held: Vec<u8>,
    /// Whether the client currently receives no more.
    is_blocked: bool,
    /// Whether bytes were sent since the last flush.
    has_sent: bool,
    /// Whether a read of the framework was deferred. The framework is woken when it may read again.
    wants_more: bool,
    awaits: Option<Awaited>,
}

enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The action that the client must do within a time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// Sending the rest of a head.
    Head,
    /// Receiving the rest of an answer.
    Answer,
}

impl Stream {
    pub(super) fn plain(tcp: TcpStream, place: Place, times: Times) -> Self {
        Self::new(Transport::Plain(tcp), place, times)
    }

    pub(super) fn tls(tls: TlsStream<TcpStream>, place: Place, times: Times) -> Self {
        Self::new(Transport::Tls(Box::new(tls)), place, times)
    }

    fn new(transport: Transport, place: Place, times: Times) -> Self {
        Self {
            transport,
            place,
            times,
            heads: HeadScanner::default(),
            heads_taken: 0,
            held: Vec::new(),
            is_blocked: false,
            has_sent: false,
            wants_more: false,
            awaits: None,
        }
    }

    fn set_awaits(&mut self, awaited: Option<Awaited>) {
        if self.awaits != awaited {
            self.awaits = awaited;
            self.place.set_deadline(awaited.map(|awaited| match awaited {
                Awaited::Head => self.times.head,
                Awaited::Answer => self.times.answer,
            }));
        }
    }

    /// Records that the client receives no more, and waits. Fails when the registry closes the connection.
    fn poll_blocked<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.is_blocked = true;
        self.set_awaits(Some(Awaited::Answer));
        self.place.poll_closed(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Scans the bytes handed out from `start` on. Holds back the bytes after the last head that may be read.
    fn look_at(&mut self, buffer: &mut ReadBuf<'_>, start: usize) {
        self.place.note_activity();
        let mut end = start;
        while let Some(length) = self.heads.next_end(&buffer.filled()[end..]) {
            end += length;
            self.heads_taken += 1;
            self.place.set_has_request(true);
            if self.heads_taken == HEADS {
                let mut rest = buffer.filled()[end..].to_vec();
                rest.append(&mut self.held);
                self.held = rest;
                buffer.set_filled(end);
                break;
            }
        }
        let has_head = self.place.has_request();
        self.set_awaits((!has_head).then_some(Awaited::Head));
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.place.poll_closed(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if this.is_blocked || this.heads_taken >= HEADS {
            this.wants_more = true;
            return Poll::Pending;
        }
        let start = buffer.filled().len();
        if this.held.is_empty() {
            ready!(Pin::new(&mut this.transport).poll_read(context, buffer))?;
        } else {
            let rest = this.held.split_off(this.held.len().min(buffer.remaining()));
            buffer.put_slice(&this.held);
            this.held = rest;
        }
        if buffer.filled().len() > start {
            this.look_at(buffer, start);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match Pin::new(&mut this.transport).poll_write(context, bytes) {
            Poll::Ready(written) => {
                this.has_sent |= !bytes.starts_with(INTERIM);
                Poll::Ready(written)
            }
            Poll::Pending => this.poll_blocked(context),
        }
    }

    /// The framework flushes whenever it has sent everything, so that it may read again.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.transport).poll_flush(context) {
            Poll::Ready(flushed) => flushed?,
            Poll::Pending => return this.poll_blocked(context),
        }
        this.is_blocked = false;
        this.heads_taken = 0;
        if std::mem::take(&mut this.has_sent) {
            this.place.note_activity();
            this.place.set_has_request(false);
            this.set_awaits(this.heads.is_within_one().then_some(Awaited::Head));
        }
        if std::mem::take(&mut this.wants_more) {
            context.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.transport).poll_shutdown(context) {
            Poll::Pending => this.poll_blocked(context),
            shut => shut,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}

/// Finds the empty lines that end heads. It does not parse bodies: an empty line in a body counts as well.
#[derive(Default)]
struct HeadScanner {
    /// The content of the unfinished line.
    line: Line,
    /// Whether a line with text came since the last empty one.
    has_text: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Empty,
    CarriageReturn,
    Text,
}

impl HeadScanner {
    /// Returns the number of bytes up to the end of the first head that ends in them. The caller passes the rest
    /// again. Returns `None` if no head ends.
    fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            let line = self.line.and(&bytes[start..newline]);
            self.line = Line::Empty;
            start = newline + 1;
            if line == Line::Text {
                self.has_text = true;
            } else if std::mem::take(&mut self.has_text) {
                return Some(start);
            }
        }
        self.line = self.line.and(&bytes[start..]);
        None
    }

    /// Returns whether a head has begun, or a body that was not read to its end.
    fn is_within_one(&self) -> bool {
        self.has_text || self.line == Line::Text
    }
}

impl Line {
    /// Returns the state of the line after more bytes.
    fn and(self, more: &[u8]) -> Self {
        match (self, more) {
            (line, b"") => line,
            (Self::Empty, b"\r") => Self::CarriageReturn,
            _ => Self::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of heads are found however the bytes are split.
    #[test]
    fn heads_end_with_an_empty_line() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[27][..]),
            (b"GET / HTTP/1.1\n\nGET / HTTP/1.1\n\r\n", &[16, 33]),
            (b"\r\n\r\n\n", &[]),
            (b"\r\nGET / HTTP/1.1\r\n\r\n\r\n", &[20]),
            (b"GET / HTTP/1.1\r\r\n\r\n", &[19]),
            (b"POST / HTTP/1.1\r\n\r\n{}GET / HTTP/1.1\r\n\r\n", &[19, 39]),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", &[]),
        ] {
            for piece in [1, 2, 3, bytes.len()] {
                let (mut scanner, mut found, mut offset) = (HeadScanner::default(), Vec::new(), 0);
                for chunk in bytes.chunks(piece) {
                    let mut start = 0;
                    while let Some(length) = scanner.next_end(&chunk[start..]) {
                        start += length;
                        found.push(offset + start);
                    }
                    offset += chunk.len();
                }
                assert_eq!(found, expected, "{} in pieces of {piece}", bytes.escape_ascii());
            }
        }
    }
}
