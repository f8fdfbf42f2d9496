//! Names and values in `application/x-www-form-urlencoded`, in query strings and in bodies.
//!
//! Invariant: the output is the bytes that were encoded. The caller checks whether they are text.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The decoded names and values. A name without `=` has an empty value.
pub(crate) fn pairs(encoded: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let parts = encoded.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    parts.map(|part| {
        let equals = part.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(at) => (&part[..at], &part[at + 1..]),
            None => (part, &[][..]),
        };
        (decode(name), decode(value))
    })
}

fn decode(encoded: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> =
        encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::from(percent_decode(&spaced)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let found: Vec<_> = pairs(b"a=1&&b+c=%2B%26+&d&=e&f=g=h&%zz=%4").collect();
        let expected: [(&[u8], &[u8]); 6] = [
            (b"a", b"1"),
            (b"b c", b"+& "),
            (b"d", b""),
            (b"", b"e"),
            (b"f", b"g=h"),
            (b"%zz", b"%4"),
        ];
        assert_eq!(found, expected.map(|(name, value)| (name.to_vec(), value.to_vec())));
    }
}
