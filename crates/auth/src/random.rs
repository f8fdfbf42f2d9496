//! Random bytes, and their text.
//!
//! Invariant: all of them come from the cipher provider's generator.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice())
        .expect("the system's random number generator works");
    bytes
}

/// Two digits a byte, in lower case.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}
