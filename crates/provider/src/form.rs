//! `application/x-www-form-urlencoded` (RFC 6749 Appendix B).
//!
//! Invariant: a form that is written and read again is the same, byte for byte. Secrets are copied only into memory
//! that is wiped and never reallocated.

use percent_encoding::{percent_decode, percent_encode_byte};
use zeroize::Zeroizing;

use crate::json::Json;

/// The maximum number of bytes for an encoded byte.
pub(crate) const ENCODED_MAX: usize = 3;

/// Appends an encoded text. `target` must have room for `ENCODED_MAX` bytes for each byte of it.
pub(crate) fn encode(text: &str, target: &mut String) {
    for byte in text.bytes() {
        match byte {
            b' ' => target.push('+'),
            b'*' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                target.push(byte.into());
            }
            _ => target.push_str(percent_encode_byte(byte)),
        }
    }
}

/// Writes the fields as one text.
pub(crate) fn write<'a>(
    fields: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) -> Zeroizing<String> {
    let room = fields.clone().map(|(name, value)| (name.len() + value.len()) * ENCODED_MAX + 2);
    let mut form = Zeroizing::new(String::with_capacity(room.sum()));
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        encode(name, &mut form);
        form.push('=');
        encode(value, &mut form);
    }
    form
}

/// Reads the fields of a form, as an object of texts. `None` without fields, or if a field is not UTF-8.
pub(crate) fn read(form: &str) -> Option<Json> {
    let mut fields = Vec::new();
    for field in form.trim().split('&').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        fields.push((decode(name)?, Json::Text(decode(value)?)));
    }
    (!fields.is_empty()).then_some(Json::Object(fields))
}

fn decode(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let plain = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte });
    let spaced = Zeroizing::new(plain.collect::<Vec<u8>>());
    bytes.extend(percent_decode(&spaced));
    let text = str::from_utf8(&bytes).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_standard_is_encoded_as_there() {
        // RFC 6749 Appendix B.
        let mut encoded = String::new();
        encode(" %&+£€", &mut encoded);
        assert_eq!(encoded, "+%25%26%2B%C2%A3%E2%82%AC");
    }

    #[test]
    fn what_is_no_form_is_found() {
        for form in ["", " \n", "&&", "a=%ff"] {
            assert!(read(form).is_none(), "{form}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in prop::collection::vec((".+", ".*"), 1..5)) {
            let pairs = fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let form = write(pairs.clone());
            let Some(Json::Object(read)) = read(&form) else { panic!("no form") };
            let texts = read.iter().map(|(name, value)| (name.as_str(), value.text().expect("text")));
            prop_assert!(texts.eq(pairs));
        }

        #[test]
        fn a_form_never_needs_more_room_than_it_was_given(name in ".*", value in ".*") {
            let form = write([(name.as_str(), value.as_str())].into_iter());
            prop_assert!(form.capacity() <= (name.len() + value.len()) * ENCODED_MAX + 2);
        }
    }
}
