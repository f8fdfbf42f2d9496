//! Proof Key for Code Exchange (RFC 7636).
//!
//! Invariant: the caller supplies randomness. Only `S256` is offered, because `plain` gives no protection against a
//! reader of the authorization URL (RFC 9700 §2.1.1).

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::SecretText;

/// The verifier of 32 random bytes, 43 characters (RFC 7636 §4.1).
pub fn verifier(random: &[u8; 32]) -> SecretText {
    SecretText::from(URL_SAFE_NO_PAD.encode(random))
}

/// The `S256` challenge of a verifier (RFC 7636 §4.2).
pub fn challenge(verifier: &SecretText) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.expose().as_bytes()))
}

/// Whether a text is a valid verifier (RFC 7636 §4.1): 43 to 128 of `A`–`Z`, `a`–`z`, `0`–`9`, `-`, `.`, `_`, `~`.
pub fn is_verifier(text: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_example_of_the_standard_gives_what_it_says() {
        // RFC 7636 Appendix B.
        let random = [
            116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186, 22, 212,
            37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
        ];
        let verifier = verifier(&random);
        assert_eq!(verifier.expose(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(is_verifier(verifier.expose()));
    }

    #[rstest]
    #[case(&"a".repeat(42), false)]
    #[case(&"a".repeat(43), true)]
    #[case(&"~".repeat(128), true)]
    #[case(&"a".repeat(129), false)]
    #[case(&"a+".repeat(30), false)]
    #[case(&"å".repeat(30), false)]
    #[case("", false)]
    fn a_verifier_has_a_length_and_an_alphabet(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(is_verifier(text), expected);
    }
}
