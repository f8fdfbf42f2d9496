//! XML bodies.
//!
//! Invariant: a text that was read can be written.

#![no_main]

use fuzz::read;
use libfuzzer_sys::fuzz_target;
use negotiate::{MediaType, write_answer};

fuzz_target!(|bytes: &[u8]| {
    let Ok(seen) = read(MediaType::TextXml, bytes) else { return };
    for text in seen.present() {
        assert!(write_answer(&text.into(), "A", MediaType::TextXml).is_ok());
    }
});
