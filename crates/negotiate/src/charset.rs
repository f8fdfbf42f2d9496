//! The charsets of request bodies (CONTRACT 13).
//!
//! Invariant: bytes that are not text in their charset are refused, never replaced.

use std::borrow::Cow;

/// A charset that a body may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8; a byte order mark is dropped.
    Utf8,
    /// UTF-16 in the order of its byte order mark; little-endian if it has none, as .NET writes it.
    Utf16,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
    /// ISO-8859-1: each byte is the code point of its value.
    Latin1,
}

/// The bytes are not text in this charset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not valid {}", .0.name())]
pub struct NotText(pub Charset);

const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";
const UTF_16_LE_MARK: [u8; 2] = [0xff, 0xfe];
const UTF_16_BE_MARK: [u8; 2] = [0xfe, 0xff];

impl Charset {
    /// Reads a charset's name, in any case.
    pub fn parse(label: &str) -> Option<Self> {
        let known = [Self::Utf8, Self::Utf16, Self::Utf16Le, Self::Utf16Be, Self::Latin1];
        known.into_iter().find(|charset| label.eq_ignore_ascii_case(charset.name()))
    }

    /// The name, as IANA registers it but in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Utf16 => "utf-16",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
            Self::Latin1 => "iso-8859-1",
        }
    }

    /// The charset that a byte order mark tells, if there is one.
    pub fn of_mark(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xef, 0xbb, 0xbf, ..] => Some(Self::Utf8),
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(Self::Utf16),
            _ => None,
        }
    }

    /// The text, without its byte order mark.
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
                let bytes = bytes.strip_prefix(UTF_8_MARK).unwrap_or(bytes);
                std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
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
            Self::Latin1 => Some(bytes.iter().copied().map(char::from).collect()),
        };
        decoded.ok_or(NotText(self))
    }
}

fn utf_16_le(bytes: &[u8]) -> Option<Cow<'_, str>> {
    utf_16(bytes.strip_prefix(&UTF_16_LE_MARK).unwrap_or(bytes), u16::from_le_bytes)
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Cow<'_, str>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().copied().map(unit);
    let text: Option<String> = char::decode_utf16(units).collect::<Result<_, _>>().ok();
    text.filter(|_| rest.is_empty()).map(Cow::Owned)
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
    fn text_or_nothing(
        #[case] charset: Charset,
        #[case] bytes: &[u8],
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(charset.decode(bytes).ok().as_deref(), expected);
    }

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!(Charset::parse("ISO-8859-1"), Some(Charset::Latin1));
        assert_eq!(Charset::parse("Utf-8"), Some(Charset::Utf8));
        assert_eq!(Charset::parse("utf8"), None);
        assert_eq!(Charset::parse("utf-7"), None);
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
