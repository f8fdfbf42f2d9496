//! JSON Merge Patch bodies.
//!
//! Invariant: a body without null is read as JSON is.

#![no_main]

use fuzz::read;
use libfuzzer_sys::fuzz_target;
use negotiate::MediaType;

fuzz_target!(|bytes: &[u8]| {
    let seen = read(MediaType::MergePatch, bytes);
    if !bytes.windows(4).any(|four| four == b"null") {
        assert_eq!(seen, read(MediaType::ApplicationJson, bytes));
    }
});
