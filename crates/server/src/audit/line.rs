//! Lines of the audit log: JSON whose last member is the MAC of all bytes before it.
//!
//! Invariant: a line has exactly one line break, at its end, and no character that controls a terminal or the direction
//! of text.

use std::io::{self, Write};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, Serializer};

use super::{Details, Event, Outcome};
use crate::unprintable::is_unprintable;

/// The version of the lines' form.
const VERSION: u8 = 1;
/// The text before the MAC.
const BEFORE_MAC: &[u8] = br#","mac":""#;
/// The text after the MAC, before the line break.
const AFTER_MAC: &[u8] = br#""}"#;
/// The length of a MAC in Base64.
const MAC_LENGTH: usize = 43;

/// The first line of a chain or file, and the line at which another key begins.
pub(super) const FILE: &str = "audit.file";
pub(super) const KEY: &str = "audit.key";

/// The members of a line, without its MAC.
#[derive(Serialize)]
struct Members<'a> {
    audit: u8,
    time: String,
    sequence: i64,
    action: &'a str,
    outcome: Outcome,
    #[serde(flatten)]
    details: &'a Details,
    #[serde(flatten)]
    link: Option<&'a Link>,
}

/// The members of a line that says how the chain goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Link {
    /// The name of the chain.
    pub(super) chain: String,
    /// The MAC of the line before, in Base64; zeros for the first line.
    pub(super) previous: String,
    /// The id of the master key whose audit key signs this line and the following ones.
    pub(super) key: String,
}

/// A line as it was read. Only its MAC shows whether it is genuine.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReadLine {
    pub(crate) time: String,
    pub(crate) sequence: i64,
    pub(crate) action: String,
    pub(crate) outcome: String,
    pub(crate) tenant: Option<String>,
    pub(crate) login: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) os_user: Option<u32>,
    pub(crate) address: Option<String>,
    pub(crate) record: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) request: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) found: Option<bool>,
    pub(crate) chain: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) key: Option<String>,
}

/// Appends the members of a line, without the MAC and what follows it.
pub(super) fn write_members(
    line: &mut Vec<u8>,
    time: Timestamp,
    sequence: i64,
    event: &Event,
    link: Option<&Link>,
) {
    let members = Members {
        audit: VERSION,
        time: format!("{time:.6}"),
        sequence,
        action: event.action.name,
        outcome: event.outcome,
        details: &event.details,
        link,
    };
    let mut serializer = Serializer::with_formatter(&mut *line, Plain);
    members.serialize(&mut serializer).expect("members are strings and numbers");
    // The brace returns after the MAC.
    line.pop();
}

/// Appends the MAC and the line break.
pub(super) fn write_mac(line: &mut Vec<u8>, mac: &[u8; 32]) {
    line.extend_from_slice(BEFORE_MAC);
    line.extend_from_slice(encode_mac(mac).as_bytes());
    line.extend_from_slice(AFTER_MAC);
    line.push(b'\n');
}

/// Writes a MAC as lines have it.
pub(super) fn encode_mac(mac: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(mac)
}

/// Reads a MAC as `encode_mac` writes it.
pub(super) fn decode_mac(text: &[u8]) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Splits a line without its line break into the bytes that were signed, and the MAC.
pub(super) fn split_mac(line: &[u8]) -> Option<(&[u8], [u8; 32])> {
    let rest = line.strip_suffix(AFTER_MAC)?;
    let (rest, mac) = rest.split_at_checked(rest.len().checked_sub(MAC_LENGTH)?)?;
    Some((rest.strip_suffix(BEFORE_MAC)?, decode_mac(mac)?))
}

/// Reads the members of a line.
pub(crate) fn read_line(line: &[u8]) -> Option<ReadLine> {
    serde_json::from_slice(line).ok()
}

/// Compact JSON that also escapes the control characters that JSON allows, and those that turn the direction of text.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unprintable) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut characters = special.chars();
            if let Some(character) = characters.next() {
                // All of them have one UTF-16 unit.
                write!(writer, "\\u{:04x}", u32::from(character))?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Action;

    #[test]
    fn no_text_ends_its_line_or_controls_a_terminal() {
        let provider = "a\"b\\c\r\nd\u{1b}[2Je\u{9b}f\u{2028}g\u{202e}h\u{feff}ø😀\0";
        let details = Details { provider: Some(provider.to_owned()), ..Details::default() };
        let (action, outcome) = (Action::read("tokens.get"), Outcome::Success);
        let event = Event { action, outcome, details };
        let mut line = Vec::new();
        write_members(&mut line, Timestamp::now(), 7, &event, None);
        write_mac(&mut line, &[7; 32]);
        let text = String::from_utf8(line).expect("UTF-8");
        let line = text.strip_suffix('\n').expect("a line break");
        assert!(!line.chars().any(is_unprintable), "{line}");
        let read = read_line(line.as_bytes()).expect("JSON");
        assert_eq!((read.sequence, read.provider.as_deref()), (7, Some(provider)));
        let (members, mac) = split_mac(line.as_bytes()).expect("a MAC");
        assert_eq!(mac, [7; 32]);
        assert!(members.starts_with(br#"{"audit":1,"time":""#), "{line}");
    }

    #[test]
    fn a_mac_has_one_spelling() {
        let text = encode_mac(&[0; 32]);
        assert_eq!(decode_mac(text.as_bytes()), Some([0; 32]));
        let other = format!("{}B", &text[..42]);
        assert_eq!(decode_mac(other.as_bytes()), None, "the last character has bits to spare");
    }
}
