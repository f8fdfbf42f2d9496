//! The stack, where ciphers and hashes leave what they worked on.
//!
//! Invariant: what ran in `wiping_stack` leaves nothing on its thread's stack, as far as it went no deeper
//! than `DEPTH`.

use std::hint::black_box;

/// Several times what the hashes and ciphers of this server use, in bytes.
const DEPTH: usize = 16 * 1024;

/// Runs `work`, and wipes the part of the stack that it used.
pub fn wiping_stack<T>(work: impl FnOnce() -> T) -> T {
    let result = run(work);
    wipe();
    result
}

/// In a frame of its own, which `wipe` then lies over.
#[inline(never)]
fn run<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe() {
    black_box(&mut [0_u8; DEPTH]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_comes_through() {
        let text = "fugit".to_owned();
        assert_eq!(wiping_stack(|| text + "!"), "fugit!");
    }
}
