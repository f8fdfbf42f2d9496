//! Forms, in three kinds of charset.
//!
//! Invariant: a text whose bytes are all percent-encoded is read back unchanged.

#![no_main]

use std::fmt::Write as _;

use fuzz::{read, read_as};
use libfuzzer_sys::fuzz_target;
use negotiate::{Charset, MediaType};

fuzz_target!(|bytes: &[u8]| {
    for charset in [None, Some(Charset::Latin1), Some(Charset::Utf16)] {
        let _ = read_as(MediaType::Form, charset, bytes);
    }
    let mut form = "Key=".to_owned();
    for byte in bytes {
        let _ = write!(form, "%{byte:02x}");
    }
    let seen = read(MediaType::Form, form.as_bytes());
    match std::str::from_utf8(bytes) {
        Ok(text) => assert!(seen.is_ok_and(|seen| seen.present().eq([text, text]))),
        Err(_) => assert!(seen.is_err()),
    }
});
