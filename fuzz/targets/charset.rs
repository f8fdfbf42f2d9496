//! Charsets.
//!
//! Invariant: decoded text, encoded again, equals the input, except for a byte order mark.

#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiate::Charset;

fuzz_target!(|bytes: &[u8]| {
    for charset in [
        Charset::Utf8,
        Charset::Utf16,
        Charset::Utf16Le,
        Charset::Utf16Be,
        Charset::Latin1,
        Charset::Windows1252,
    ] {
        let Ok(text) = charset.decode(bytes) else { continue };
        let units = || text.encode_utf16();
        let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        assert!(match charset {
            Charset::Utf8 => bytes.ends_with(text.as_bytes()),
            Charset::Utf16 => bytes.ends_with(&little) || bytes.ends_with(&big),
            Charset::Utf16Le => bytes.ends_with(&little),
            Charset::Utf16Be => bytes.ends_with(&big),
            Charset::Latin1 => text.chars().map(u32::from).eq(bytes.iter().copied().map(u32::from)),
            Charset::Windows1252 => text.chars().count() == bytes.len(),
        });
    }
});
