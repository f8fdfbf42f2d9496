//! The charsets of request bodies (WHATWG Encoding Standard).
//!
//! Invariant: bytes that are not text in their charset are rejected and never replaced.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// The charset of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8. A byte order mark is dropped.
    Utf8,
    /// UTF-16 in the order of its byte order mark. Without one it is little-endian, as .NET writes it.
    Utf16,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
    /// ISO-8859-1: each byte is the code point with its value.
    Latin1,
    /// windows-1252: like ISO-8859-1, with quotes, dashes and the euro sign in place of control characters.
    Windows1252,
}

/// The bytes are not text in this charset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid {}", .charset.name())]
pub struct NotText {
    /// The charset.
    pub charset: Charset,
    /// The number of valid bytes before the first invalid one, if known.
    pub valid_up_to: Option<usize>,
}

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16_LE_MARK: [u8; 2] = [0xff, 0xfe];
const UTF_16_BE_MARK: [u8; 2] = [0xfe, 0xff];

impl Charset {
    /// Finds a charset by a label of the Encoding Standard, in any case: `utf8`, `latin1`, `us-ascii`, `unicode`.
    ///
    /// The Standard reads ISO-8859-1 and ASCII as windows-1252, because web pages mean that. This function does not,
    /// because otherwise a token could change. It reads ISO-8859-1 as ISO-8859-1, and ASCII as UTF-8.
    pub fn parse(label: &str) -> Option<Self> {
        let encoding = Encoding::for_label(label.as_bytes())?;
        let label = label.trim().to_ascii_lowercase();
        if encoding == UTF_8 {
            Some(Self::Utf8)
        } else if encoding == UTF_16BE {
            Some(Self::Utf16Be)
        } else if encoding == UTF_16LE {
            Some(if label == Self::Utf16Le.name() { Self::Utf16Le } else { Self::Utf16 })
        } else if encoding != WINDOWS_1252 {
            None
        } else if label.contains("1252") {
            Some(Self::Windows1252)
        } else if label.ends_with("ascii") || label.starts_with("ansi") {
            Some(Self::Utf8)
        } else {
            Some(Self::Latin1)
        }
    }

    /// The name in the registry of IANA, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::Latin1 => "iso-8859-1",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// Whether a character takes two bytes or more.
    fn is_wide(self) -> bool {
        matches!(self, Self::Utf16 | Self::Utf16Le | Self::Utf16Be)
    }

    /// The charset of JSON or XML, by its first bytes, because the first character is ASCII. A byte order mark names the
    /// charset, and a zero byte means UTF-16. Without either it is never UTF-16, even if the header says so.
    pub(crate) fn of_start(bytes: &[u8], named: Option<Self>) -> Option<Self> {
        match bytes {
            _ if Self::of_mark(bytes).is_some() => Self::of_mark(bytes),
            [0, 1..=255, ..] => Some(Self::Utf16Be),
            [1..=255, 0, ..] => Some(Self::Utf16Le),
            _ => named.filter(|named| !named.is_wide()),
        }
    }

    /// The charset of the byte order mark; `None` without one.
    pub fn of_mark(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xef, 0xbb, 0xbf, ..] => Some(Self::Utf8),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Self::Utf16),
            _ => None,
        }
    }

    /// Decodes bytes, without their byte order mark.
    ///
    /// # Errors
    /// The bytes are not text in this charset.
    ///
    /// ```
    /// use negotiate::Charset;
    ///
    /// assert_eq!(Charset::Utf16.decode(b"\xfe\xff\0h\0i")?, "hi");
    /// assert_eq!(Charset::Latin1.decode(b"\xe5")?, "å");
    /// assert!(Charset::Utf8.decode(b"\xe5").is_err());
    /// # Ok::<(), negotiate::NotText>(())
    /// ```
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, NotText> {
        let decoded = match self {
            Self::Utf8 => {
                let text = bytes.strip_prefix(UTF_8_MARK).unwrap_or(bytes);
                let mark = bytes.len() - text.len();
                let text = std::str::from_utf8(text);
                text.map(Cow::Borrowed).map_err(|odd| mark + odd.valid_up_to())
            }
            Self::Utf16 => match bytes.strip_prefix(&UTF_16_BE_MARK) {
                Some(bytes) => utf_16(bytes, u16::from_be_bytes),
                None => utf_16_le(bytes),
            },
            Self::Utf16Le => utf_16_le(bytes),
            Self::Utf16Be => {
                let bytes = bytes.strip_prefix(&UTF_16_BE_MARK).unwrap_or(bytes);
                utf_16(bytes, u16::from_be_bytes)
            }
            Self::Latin1 => Ok(bytes.iter().copied().map(char::from).collect()),
            Self::Windows1252 => Ok(WINDOWS_1252.decode_without_bom_handling(bytes).0),
        };
        decoded.map_err(|read| NotText { charset: self, valid_up_to: Some(read) })
    }
}

fn utf_16_le(bytes: &[u8]) -> Result<Cow<'_, str>, usize> {
    utf_16(bytes.strip_prefix(&UTF_16_LE_MARK).unwrap_or(bytes), u16::from_le_bytes)
}

/// Decodes UTF-16. The error is the number of valid bytes, without the byte order mark.
fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(pairs.len());
    let mut read = 0;
    for character in char::decode_utf16(pairs.iter().copied().map(unit)) {
        let character = character.map_err(|_lone| read)?;
        read += 2 * character.len_utf16();
        text.push(character);
    }
    if rest.is_empty() { Ok(Cow::Owned(text)) } else { Err(read) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    /// CONTRACT 9, 13: marks are tolerated and dropped, what is no text is refused.
    #[rstest]
    #[case(Charset::Utf8, b"\xef\xbb\xbfa", Some("a"))]
    #[case(Charset::Utf8, b"\xc3\xa5", Some("å"))]
    #[case(Charset::Utf8, b"\xed\xa0\x80", None)]
    #[case(Charset::Utf8, b"\xff", None)]
    #[case(Charset::Utf16, b"\xff\xfea\0", Some("a"))]
    #[case(Charset::Utf16, b"\xfe\xff\0a", Some("a"))]
    #[case(Charset::Utf16, b"a\0", Some("a"))]
    #[case(Charset::Utf16, b"\xff\xfe", Some(""))]
    #[case(Charset::Utf16, b"\xfe\xffa\0", Some("愀"))]
    #[case(Charset::Utf16, b"a\0b", None)]
    #[case(Charset::Utf16, b"\x00\xd8", None)]
    #[case(Charset::Utf16Le, b"a\0", Some("a"))]
    #[case(Charset::Utf16Be, b"\0a", Some("a"))]
    #[case(Charset::Utf16Be, b"\xfe\xff\0a", Some("a"))]
    #[case(Charset::Utf16Le, b"=\xd8\x00\xde", Some("😀"))]
    #[case(Charset::Latin1, b"\x80\xff", Some("\u{80}ÿ"))]
    #[case(Charset::Windows1252, b"\x80\xff\x81", Some("€ÿ\u{81}"))]
    fn text_or_nothing(
        #[case] charset: Charset,
        #[case] bytes: &[u8],
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(charset.decode(bytes).ok().as_deref(), expected);
    }

    #[test]
    fn names_are_read_in_any_case() {
        for (labels, charset) in [
            (
                "Utf-8 utf8 UTF8 unicode-1-1-utf-8 US-ASCII ascii ANSI_X3.4-1968",
                Some(Charset::Utf8),
            ),
            ("ISO-8859-1 iso8859-1 Latin1 l1 cp819", Some(Charset::Latin1)),
            ("windows-1252 CP1252", Some(Charset::Windows1252)),
            ("UTF-16 unicode ucs-2", Some(Charset::Utf16)),
            ("UTF-16LE", Some(Charset::Utf16Le)),
            ("utf-16be", Some(Charset::Utf16Be)),
            ("utf-7 koi8-r utf-32 x utf iso-8859-15", None),
        ] {
            for label in labels.split(' ') {
                assert_eq!(Charset::parse(label), charset, "{label}");
            }
        }
        assert_eq!(Charset::parse(" utf-8 "), Some(Charset::Utf8));
        assert_eq!(Charset::parse(""), None);
    }

    /// CONTRACT 13: an error names the place.
    #[test]
    fn the_first_byte_that_does_not_fit_is_told() {
        for (charset, bytes, expected) in [
            (Charset::Utf8, &b"abc\xe5d"[..], 3),
            (Charset::Utf8, b"\xef\xbb\xbfa\xff", 4),
            (Charset::Utf16Le, b"a\0=\xd8\x00\xdeb\0\x00\xd8", 8),
            (Charset::Utf16Le, b"a\0b", 2),
        ] {
            let refused = charset.decode(bytes).map_err(|odd| odd.valid_up_to);
            assert_eq!(refused, Err(Some(expected)), "{bytes:?}");
        }
    }

    /// CONTRACT 13: JSON and XML begin with an ASCII character, so bytes tell what a name gets wrong.
    #[test]
    fn the_first_bytes_tell_utf_16() {
        let (utf_16, latin) = (Some(Charset::Utf16), Some(Charset::Latin1));
        for (bytes, named, expected) in [
            (&b"{}"[..], None, None),
            (b"{}", latin, latin),
            (b"{}", utf_16, None),
            (b"<?xml", Some(Charset::Utf16Be), None),
            (b"{\0}\0", None, Some(Charset::Utf16Le)),
            (b"\0{\0}", None, Some(Charset::Utf16Be)),
            (b"\0{\0}", utf_16, Some(Charset::Utf16Be)),
            (b"\xff\xfe{\0", latin, utf_16),
            (b"\xef\xbb\xbf{", utf_16, Some(Charset::Utf8)),
            (b"\0\0", latin, latin),
            (b"1", None, None),
            (b"", latin, latin),
        ] {
            assert_eq!(Charset::of_start(bytes, named), expected, "{bytes:?} {named:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "(?s).{0,40}") {
            let text = text.trim_start_matches('\u{feff}');
            let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            prop_assert_eq!(Charset::Utf8.decode(text.as_bytes()).expect("UTF-8"), text);
            prop_assert_eq!(Charset::Utf16Le.decode(&le).expect("UTF-16"), text);
            prop_assert_eq!(Charset::Utf16Be.decode(&be).expect("UTF-16"), text);
        }
    }
}
