//! Answers in XML: a name on the first line, a value on the others.
//!
//! Invariant: a value that is written under any name is read, and a value under a plain name is read back unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use negotiate::{ContentType, MediaType, body::Body, write_answer};
use serde_json::json;

fuzz_target!(|text: &str| {
    let (name, value) = text.split_once('\n').unwrap_or((text, text));
    let answer = json!({"Plain": value, name: value, "In": [{name: {name: value}}, value, null]});
    let Ok(written) = write_answer(&answer, name, MediaType::TextXml) else {
        assert!(
            value.contains(|character: char| !character.is_ascii() || character.is_ascii_control())
        );
        return;
    };
    let content_type = ContentType { media_type: MediaType::TextXml, charset: None };
    let read = Body::read(content_type, written.as_bytes()).expect("XML");
    let root = read.root().expect("an object");
    // A name that differs only in case may have replaced it, with the same value.
    assert_eq!(root.string("Plain"), Ok(Some(value)));
});
