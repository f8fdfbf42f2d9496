//! JSON bodies.
//!
//! Invariant: what is read as JSON is JSON for `serde_json` too.

#![no_main]

use fuzz::read;
use libfuzzer_sys::fuzz_target;
use negotiate::MediaType;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let seen = read(MediaType::ApplicationJson, bytes);
    let plain = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if seen.is_ok() && !plain.trim_ascii().is_empty() {
        assert!(serde_json::from_slice::<Value>(plain).is_ok());
    }
});
