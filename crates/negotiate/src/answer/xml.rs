//! Answers in XML.
//!
//! Invariant: a written answer is well-formed and is read back the same.

use std::fmt::Write as _;

use quick_xml::escape::escape;
use serde_json::Value;

use super::NotXml;
use crate::xml_chars::is_xml_char;

const DECLARATION: &str = r#"<?xml version="1.0" encoding="utf-8"?>"#;
const NIL: &str = r#" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true""#;
/// The name of an array's elements.
const ITEM: &str = "Item";

pub(super) fn write(answer: &Value, root: &str) -> Result<String, NotXml> {
    let mut xml = DECLARATION.to_owned();
    match answer {
        Value::Null => nil(&mut xml, root),
        Value::String(_) => element(&mut xml, "string", answer)?,
        _ => element(&mut xml, root, answer)?,
    }
    Ok(xml)
}

fn nil(xml: &mut String, name: &str) {
    let name = encode_name(name);
    let _ = write!(xml, "<{name}{NIL}/>");
}

fn element(xml: &mut String, name: &str, value: &Value) -> Result<(), NotXml> {
    let name = encode_name(name);
    let _ = write!(xml, "<{name}>");
    match value {
        Value::Null => {}
        Value::Bool(value) => xml.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => {
            let _ = write!(xml, "{number}");
        }
        Value::String(text) => push_text(xml, text)?,
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Null => nil(xml, ITEM),
                    item => element(xml, ITEM, item)?,
                }
            }
        }
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                element(xml, name, value)?;
            }
        }
    }
    let _ = write!(xml, "</{name}>");
    Ok(())
}

fn push_text(xml: &mut String, text: &str) -> Result<(), NotXml> {
    if !text.chars().all(is_xml_char) {
        return Err(NotXml);
    }
    // A parser reads a plain carriage return as a line feed.
    let mut lines = text.split('\r');
    xml.push_str(&escape(lines.next().unwrap_or_default()));
    for line in lines {
        xml.push_str("&#13;");
        xml.push_str(&escape(line));
    }
    Ok(())
}

/// A name as .NET's `XmlConvert.EncodeLocalName` writes it.
fn encode_name(name: &str) -> String {
    let mut encoded = String::new();
    for (at, character) in name.char_indices() {
        let is_plain = character.is_ascii_alphabetic()
            || at > 0 && (character.is_ascii_digit() || matches!(character, '-' | '.'))
            || character == '_' && !name[at..].starts_with("_x");
        if is_plain {
            encoded.push(character);
        } else {
            let _ = write!(encoded, "_x{:04X}_", u32::from(character));
        }
    }
    if encoded.is_empty() { "_".to_owned() } else { encoded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Charset, ContentType, MediaType, body::Body, write_answer};
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    fn xml(answer: &Value) -> Result<String, NotXml> {
        let written = write_answer(answer, "Root", MediaType::ApplicationXml)?;
        Ok(written.strip_prefix(DECLARATION).expect("declaration").to_owned())
    }

    /// CONTRACT 10: no namespace, nulls left out, a null answer nil, a string `string`.
    #[rstest]
    #[case(json!("lk_1"), "<string>lk_1</string>")]
    #[case(json!(null), "<Root xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:nil=\"true\"/>")]
    #[case(json!({}), "<Root></Root>")]
    #[case(json!({"A": null, "B": {"C": 1, "D": true}}), "<Root><B><C>1</C><D>true</D></B></Root>")]
    #[case(json!({"A": ["x", {"B": ""}]}), "<Root><A><Item>x</Item><Item><B></B></Item></A></Root>")]
    #[case(json!({"A": [1, null]}), "<Root><A><Item>1</Item><Item xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:nil=\"true\"/></A></Root>")]
    #[case(json!("<a b='c'>&]]>\r\n\t"), "<string>&lt;a b=&apos;c&apos;&gt;&amp;]]&gt;&#13;\n\t</string>")]
    #[case(json!({"/api/v1": 1}), "<Root><_x002F_api_x002F_v1>1</_x002F_api_x002F_v1></Root>")]
    #[case(json!({"1a": 1, "_x0_": 2, "": 3, "å": 4}), "<Root><_x0031_a>1</_x0031_a><_x005F_x0_>2</_x005F_x0_><_>3</_><_x00E5_>4</_x00E5_></Root>")]
    fn an_answer_in_xml(#[case] answer: Value, #[case] expected: &str) {
        assert_eq!(xml(&answer).as_deref(), Ok(expected));
    }

    /// CONTRACT 16: a text that XML cannot hold is not written.
    #[test]
    fn a_character_that_xml_cannot_hold_is_not_written() {
        for text in ["\0", "a\u{1}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
            assert_eq!(xml(&json!({ "A": text })), Err(NotXml), "{text:?}");
        }
    }

    proptest! {
        /// CONTRACT 16: a text written in XML is read back the same.
        #[test]
        fn what_is_written_is_read(text in "(?s).{0,60}") {
            let Ok(written) = write_answer(&json!({"A": text}), "Root", MediaType::TextXml) else {
                prop_assert!(text.chars().any(|character| !is_xml_char(character)));
                return Ok(());
            };
            let content_type =
                ContentType { media_type: MediaType::TextXml, charset: Some(Charset::Utf8) };
            let body = Body::read(content_type, written.as_bytes()).expect("XML");
            prop_assert_eq!(body.root().expect("object").string("A"), Ok(Some(text.as_str())));
        }
    }
}
