//! Values in several languages.
//!
//! Invariant: the text of a language is part of the value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiate::{Language, multi_language};

fuzz_target!(|value: &str| {
    for language in Language::ALL {
        assert!(value.contains(multi_language(value, language)));
    }
});
