//! Random bytes, for keys, nonces and names.
//!
//! Invariant: all bytes come from the system's generator, and are wiped on drop.

use aws_lc_rs::rand;
use zeroize::Zeroizing;

/// Fills a buffer with random bytes.
pub(super) fn fill(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the system's random number generator works");
}

/// Returns random bytes.
pub fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    fill(bytes.as_mut_slice());
    bytes
}

/// Returns an unguessable name of 16 hexadecimal digits.
pub(crate) fn random_name() -> String {
    random::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
}
