//! Random bytes and their hexadecimal text.
//!
//! Invariant: all random bytes come from the generator of the cryptographic library.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice())
        .expect("the system's random number generator works");
    bytes
}

/// Writes two hexadecimal digits for each byte, in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}
