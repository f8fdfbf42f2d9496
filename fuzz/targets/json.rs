//! JSON bodies.
//!
//! Invariant: a body that is read as JSON in UTF-8 is JSON for `serde_json` too.

#![no_main]

use fuzz::read;
use libfuzzer_sys::fuzz_target;
use negotiate::MediaType;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let seen = read(MediaType::ApplicationJson, bytes);
    let plain = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // JSON in UTF-16 has zero bytes, or a byte order mark that is invalid in UTF-8.
    let is_utf_8 = str::from_utf8(plain).is_ok_and(|text| !text.contains('\0'));
    if seen.is_ok() && is_utf_8 && !plain.trim_ascii().is_empty() {
        assert!(serde_json::from_slice::<Value>(plain).is_ok());
    }
});
