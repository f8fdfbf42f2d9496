//! References to texts within values.
//!
//! Invariant: if no reference is known, the value stays unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiate::string_references;

fuzz_target!(|value: &str| {
    assert_eq!(string_references(value, |_| None), value);
    let text_of = |name: &str| (name == "SR_A").then(|| "alpha".to_owned());
    assert_eq!(string_references(value, text_of), value.replace("[SR_A]", "alpha"));
});
