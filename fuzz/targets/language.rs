//! `SO-Language` on the first line, `Accept-Language` on the others.
//!
//! Invariant: the tag is part of the header that decides, and means the language.

#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiate::{Language, wanted_language};

fuzz_target!(|text: &str| {
    let (so_language, accept_language) = match text.split_once('\n') {
        Some((so_language, accept_language)) => (Some(so_language), accept_language),
        None => (None, text),
    };
    if let Some(wanted) = wanted_language(so_language, Some(accept_language)) {
        assert!(so_language.unwrap_or(accept_language).contains(&wanted.tag));
        assert_eq!(Language::of_range(&wanted.tag), Some(wanted.language));
    }
});
