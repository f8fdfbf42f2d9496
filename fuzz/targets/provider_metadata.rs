//! Metadata of providers.
//!
//! Invariant: accepted metadata is JSON for `serde_json` too, is of the requested issuer, and names only endpoints with
//! TLS.

#![no_main]

use libfuzzer_sys::fuzz_target;
use provider::{Metadata, metadata_urls};
use serde_json::Value;

const ISSUER: &str = "https://login.example";

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = metadata_urls(text);
        let _ = Metadata::parse(bytes, text);
    }
    let Ok(metadata) = Metadata::parse(bytes, ISSUER) else { return };
    let plain = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let json: Value = serde_json::from_slice(plain).expect("JSON");
    assert_eq!(json["issuer"], ISSUER);
    let optional =
        [metadata.authorization_endpoint, metadata.revocation_endpoint, metadata.jwks_uri];
    for url in optional.into_iter().flatten().chain([metadata.token_endpoint]) {
        let rest = url.strip_prefix("https://").expect("TLS");
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        assert!(!authority.is_empty() && !authority.contains('@') && !url.contains('#'));
    }
});
