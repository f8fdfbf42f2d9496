//! Fixed-width base62, the alphabet of retrieval keys: URL-safe and one word on a double click.
//!
//! Invariant: `decode` accepts exactly the output of `encode` for the same width. Texts of one width sort in the order
//! of their numbers.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Appends `value` as `width` digits, the most significant first. Higher digits are cut off.
pub(crate) fn encode(mut value: u64, width: usize, out: &mut String) {
    let mut digits = [b'0'; 11];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(value % 62) as usize];
        value /= 62;
    }
    out.extend(digits[digits.len() - width..].iter().map(|&digit| char::from(digit)));
}

/// Appends 256 bits as 43 digits, the most significant first.
pub(crate) fn encode_256(bytes: &[u8; 32], out: &mut String) {
    let mut limbs = [0_u32; 8];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(4)) {
        *limb = chunk.iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
    }
    let mut digits = [b'0'; 43];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u64;
        for limb in &mut limbs {
            let dividend = remainder << 32 | u64::from(*limb);
            *limb = (dividend / 62) as u32;
            remainder = dividend % 62;
        }
        *digit = ALPHABET[remainder as usize];
    }
    out.extend(digits.iter().map(|&digit| char::from(digit)));
}

/// Decodes digits. Returns `None` for any other character, or a number over 64 bits.
pub(crate) fn decode(digits: &str) -> Option<u64> {
    digits.bytes().try_fold(0_u64, |value, digit| {
        value.checked_mul(62)?.checked_add(u64::from(digit_value(digit)?))
    })
}

/// Returns whether all of `text` is base62 digits.
pub(crate) fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn digit_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'Z' => Some(digit - b'A' + 10),
        b'a'..=b'z' => Some(digit - b'a' + 36),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_sort_as_their_digits() {
        let mut previous = String::new();
        for value in [0, 1, 61, 62, 3843, 1 << 40, u64::MAX - 1, u64::MAX] {
            let mut text = String::new();
            encode(value, 11, &mut text);
            assert_eq!(decode(&text), Some(value), "{text}");
            assert!(previous < text, "{previous} < {text}");
            previous = text;
        }
        assert_eq!(decode("zzzzzzzzzzz"), None, "over 64 bits");
        assert_eq!(decode("0000000000-"), None);
    }

    #[test]
    fn all_256_bits_reach_the_digits() {
        let text = |bytes: [u8; 32]| {
            let mut text = String::new();
            encode_256(&bytes, &mut text);
            text
        };
        assert_eq!(text([0; 32]), "0".repeat(43));
        let zero = text([0; 32]);
        let mut seen = std::collections::HashSet::from([zero]);
        for bit in 0..256 {
            let mut bytes = [0; 32];
            bytes[bit / 8] = 1 << (bit % 8);
            assert!(seen.insert(text(bytes)), "bit {bit}");
        }
        assert_eq!(text([0xff; 32]).len(), 43);
    }
}
