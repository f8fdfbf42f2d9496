//! JSON Patch bodies.
//!
//! Invariant: an object is read as in JSON, and so is a value that the one operation of a patch adds.

#![no_main]

use fuzz::{Seen, read};
use libfuzzer_sys::fuzz_target;
use negotiate::MediaType;

fuzz_target!(|bytes: &[u8]| {
    let patch = read(MediaType::JsonPatch, bytes);
    let Ok(json) = read(MediaType::ApplicationJson, bytes) else { return };
    if matches!(json, Seen::Object(..)) {
        assert_eq!(patch.as_ref(), Ok(&json));
    }
    let adding = [br#"[{"op":"add","path":"","value":"#, bytes, b"}]"].concat();
    if let Ok(added) = read(MediaType::JsonPatch, &adding) {
        assert_eq!(added, json);
    }
});
