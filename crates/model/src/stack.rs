//! The stack, on which ciphers and hashes leave intermediate data.
//!
//! Invariant: work in `wiping_stack` leaves no data on its thread's stack, if it uses at most `DEPTH` bytes.

use std::hint::black_box;

/// Several times the stack use of this server's hashes and ciphers, in bytes.
const DEPTH: usize = 16 * 1024;

/// Runs `work`, and wipes the part of the stack that it used.
pub fn wiping_stack<T>(work: impl FnOnce() -> T) -> T {
    let result = run(work);
    wipe();
    result
}

/// Runs `work` in a frame of its own, which the frame of `wipe` then overlaps.
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
