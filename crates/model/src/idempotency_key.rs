//! A client's name for one save, which identifies its repetitions.
//!
//! Invariant: an `IdempotencyKey` has 16 to 255 visible ASCII characters. It is a secret, because the retrieval key of
//! the save is sealed under it.

use std::{fmt, ops::RangeInclusive};

use crate::SecretText;

const LENGTH: RangeInclusive<usize> = 16..=255;

/// The value of the header `Idempotency-Key`.
#[derive(Clone)]
pub struct IdempotencyKey(SecretText);

/// The text is not a valid idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has not 16 to 255 visible ASCII characters")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Parses a header's value: the bare characters, or a string of RFC 9651 §3.3.3, as in the header's draft. Both
    /// forms of a key are the same key (CONTRACT 42).
    pub fn parse(raw: &[u8]) -> Result<Self, InvalidIdempotencyKey> {
        let raw = str::from_utf8(raw).map_err(|_not_ascii| InvalidIdempotencyKey)?;
        let text = match raw.strip_prefix('"') {
            Some(rest) => unquoted(rest).ok_or(InvalidIdempotencyKey)?,
            None => SecretText::from(raw),
        };
        let is_valid = |text: &str| {
            LENGTH.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if is_valid(text.expose()) { Ok(Self(text)) } else { Err(InvalidIdempotencyKey) }
    }

    /// Returns the key's text, to derive keys from.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// Returns the text before the closing quote, which must end the value.
fn unquoted(rest: &str) -> Option<SecretText> {
    let mut text = String::with_capacity(rest.len());
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then(|| text.into()),
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => text.push(escaped),
                _ => return None,
            },
            plain => text.push(plain),
        }
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

    fn read(raw: &str) -> Option<String> {
        IdempotencyKey::parse(raw.as_bytes()).ok().map(|key| key.expose().to_owned())
    }

    /// CONTRACT 42: both forms are one key; the limits.
    #[test]
    fn a_key_is_read_with_and_without_quotes() {
        assert_eq!(read(KEY).as_deref(), Some(KEY));
        assert_eq!(read(&format!("\"{KEY}\"")).as_deref(), Some(KEY));
        assert_eq!(read(r#""0123456789\"abc\\def""#).as_deref(), Some(r#"0123456789"abc\def"#));
        for length in [16, 255] {
            assert!(read(&"~".repeat(length)).is_some(), "{length}");
            assert!(read(&format!("\"{}\"", "!".repeat(length))).is_some(), "{length} quoted");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (short, long) = ("a".repeat(15), "a".repeat(256));
        let quoted_short = format!("\"{short}\"");
        for raw in [
            "",
            "\"\"",
            &short,
            &quoted_short,
            &long,
            "0123456789 abcdef",
            "0123456789\tabcdef",
            "0123456789abcdeå",
            "\"0123456789abcdef",
            "\"0123456789abcdef\";a=1",
            "\"0123456789\"abcdef\"",
            r#""0123456789\abcdef""#,
            r#""0123456789abcdef\"#,
        ] {
            assert_eq!(read(raw), None, "{raw}");
        }
        assert!(IdempotencyKey::parse(b"0123456789abcdef\xff").is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(raw: Vec<u8>) {
            let _ = IdempotencyKey::parse(&raw);
        }
    }

    #[test]
    fn a_key_does_not_print_itself() {
        let key = IdempotencyKey::parse(KEY.as_bytes()).expect("key");
        assert_eq!(format!("{key:?}"), "IdempotencyKey(redacted)");
    }
}
