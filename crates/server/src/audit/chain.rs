//! The chain of lines: each MAC is also over the MAC of the line before.
//!
//! Invariant: sequence numbers have no gap. A line that was not written takes its number back.

use jiff::Timestamp;
use store::{AuditAnchor, AuditKey};

use super::{
    Details, Event,
    file::Tail,
    line::{self, Link, encode_mac, write_mac, write_members},
};

/// The end of the chain.
#[derive(Clone)]
pub(super) struct Chain {
    name: String,
    /// The sequence number of the last line; 0 before the first one.
    sequence: i64,
    /// The MAC of the last line.
    mac: [u8; 32],
    key: AuditKey,
    /// Whether the next line must say how the chain goes on, because a file begins or because the key is another one.
    next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    BeginsFile,
    BeginsKey,
    Event,
}

impl Chain {
    /// Begins a chain.
    pub(super) fn begin(key: AuditKey) -> Self {
        let name: String = store::random::<8>().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name, sequence: 0, mac: [0; 32], key, next: Next::BeginsFile }
    }

    /// Continues the chain of a file.
    pub(super) fn resume(tail: &Tail, key: AuditKey) -> Self {
        let Tail { chain, sequence, mac, .. } = tail;
        // The key of the last line is named further up, so it is named once more.
        Self { name: chain.clone(), sequence: *sequence, mac: *mac, key, next: Next::BeginsKey }
    }

    /// Begins another chain with the same key.
    pub(super) fn another(&self) -> Self {
        Self::begin(self.key.clone())
    }

    /// Returns the last line.
    pub(super) fn last(&self) -> AuditAnchor {
        AuditAnchor { chain: self.name.clone(), sequence: self.sequence, mac: self.mac }
    }

    /// The next line is the first one of a file.
    pub(super) fn begin_file(&mut self) {
        self.next = Next::BeginsFile;
    }

    /// Signs the following lines with this key.
    pub(super) fn follow_key(&mut self, key: AuditKey) {
        if key.kek_id() != self.key.kek_id() {
            self.key = key;
            if self.next == Next::Event {
                self.next = Next::BeginsKey;
            }
        }
    }

    /// Appends the line of an event.
    pub(super) fn append(&mut self, buffer: &mut Vec<u8>, event: &Event) {
        self.append_link(buffer);
        self.line(buffer, event, None);
    }

    /// Appends the line that says how the chain goes on, if one is due.
    pub(super) fn append_link(&mut self, buffer: &mut Vec<u8>) {
        let name = match self.next {
            Next::Event => return,
            Next::BeginsFile => line::FILE,
            Next::BeginsKey => line::KEY,
        };
        let link = Link {
            chain: self.name.clone(),
            previous: encode_mac(&self.mac),
            key: self.key.kek_id().to_owned(),
        };
        let event = Event::done(name, Details::default());
        self.line(buffer, &event, Some(&link));
        self.next = Next::Event;
    }

    fn line(&mut self, buffer: &mut Vec<u8>, event: &Event, link: Option<&Link>) {
        let start = buffer.len();
        write_members(buffer, Timestamp::now(), self.sequence + 1, event, link);
        let mac = self.key.sign_line(&self.name, &self.mac, &buffer[start..]);
        write_mac(buffer, &mac);
        self.sequence += 1;
        self.mac = mac;
    }
}
