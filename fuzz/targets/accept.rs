//! `Accept` headers.
//!
//! Invariant: the answer has the media type that the client prefers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiate::{Accept, MediaType};

fuzz_target!(|header: &str| {
    let accept = Accept::parse(header);
    let answered = MediaType::of_answer(&accept);
    let quality = answered.map_or(0, |answered| accept.quality(answered.essence()));
    assert!(quality <= 1000);
    assert_eq!(quality > 0, answered.is_ok());
    for other in MediaType::WRITTEN {
        assert!(accept.quality(other.essence()) <= quality);
    }
});
