//! Compressed bodies.
//!
//! Invariant: the output is at most as long as the limit.

#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiate::ContentCoding;

const LIMIT: usize = 64 * 1024;

fuzz_target!(|bytes: &[u8]| {
    for coding in ContentCoding::ALL {
        if let Ok(decoded) = coding.decode(bytes, LIMIT) {
            assert!(decoded.len() <= LIMIT, "{coding:?}");
        }
    }
});
