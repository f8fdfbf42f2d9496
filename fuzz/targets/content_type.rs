//! `Content-Type` headers.
//!
//! Invariant: the parsed type is one that the header names.

#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiate::ContentType;

fuzz_target!(|header: &str| {
    if let Ok(ContentType { media_type, charset }) = ContentType::parse(Some(header)) {
        let header = header.to_ascii_lowercase();
        assert!(header.contains(media_type.essence()));
        assert!(charset.is_none() || header.contains("charset"));
    }
});
