//! XML, read into the tree that the same body in JSON has.
//!
//! Invariant: a document type is rejected, so the only entities are the five of XML 1.0. Depth is bounded. Text that is
//! kept follows XML 1.0. Anything that is dropped (the root's name, comments, attributes) is not checked.

use std::borrow::Cow;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesDecl, BytesStart, Event},
};
use serde_json::{Map, Value};

use super::{MAX_DEPTH, MAX_VALUES, Malformed, is_blank, repeat};
use crate::{Charset, xml_chars::is_xml_char};

/// Decodes a body. The charset is that of its first bytes, or else of its header, or else of its declaration, or else
/// UTF-8 (RFC 7303 §3). A body whose first bytes are not UTF-16 is never read as UTF-16.
pub(super) fn decode(charset: Option<Charset>, bytes: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    if let Some(charset) = Charset::of_start(bytes, charset) {
        return Ok(charset.decode(bytes)?);
    }
    let declared = match declared_encoding(bytes) {
        Some(label) => Some(Charset::parse(&label).ok_or(Malformed::XmlEncoding)?),
        None => None,
    };
    let charset = Charset::of_start(bytes, declared).unwrap_or(Charset::Utf8);
    Ok(charset.decode(bytes)?)
}

/// The encoding in the XML declaration of a body that begins with ASCII.
fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let declaration = bytes.strip_prefix(b"<?")?;
    if !matches!(declaration, [b'x', b'm', b'l', b' ' | b'\t' | b'\r' | b'\n', ..]) {
        return None;
    }
    let end = declaration.iter().position(|byte| *byte == b'?')?;
    let text = std::str::from_utf8(&declaration[..end]).ok()?;
    let declaration = BytesDecl::from_start(BytesStart::from_content(text, "xml".len()));
    let encoding = declaration.encoding()?.ok()?;
    Some(encoding.into_owned()).filter(|label| !label.trim().is_empty())
}

/// An element that is not closed yet.
#[derive(Default)]
struct Open {
    name: String,
    is_nil: bool,
    text: String,
    /// `None` until the first child.
    members: Option<Map<String, Value>>,
}

/// Parses a document. A document of white space is null.
pub(super) fn parse(document: &str) -> Result<Value, Malformed> {
    if is_blank(document) {
        return Ok(Value::Null);
    }
    let mut reader = Reader::from_str(document);
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    let mut elements = 0;
    loop {
        let event = reader.read_event();
        let malformed = Malformed::Xml(reader.buffer_position());
        let mixed = Malformed::XmlMixed(reader.buffer_position());
        match event.map_err(|_error| malformed)? {
            Event::Start(_) | Event::Empty(_) if open.len() == MAX_DEPTH => {
                return Err(Malformed::TooDeep(MAX_DEPTH));
            }
            Event::Start(_) | Event::Empty(_) if elements == MAX_VALUES => {
                return Err(Malformed::TooMany(MAX_VALUES));
            }
            Event::Start(_) | Event::Empty(_) if root.is_some() => return Err(malformed),
            Event::Start(start) => {
                elements += 1;
                open.push(Open::new(&start).ok_or(malformed)?);
            }
            Event::Empty(start) => {
                elements += 1;
                open.push(Open::new(&start).ok_or(malformed)?);
                root = close(&mut open).ok_or(mixed)?;
            }
            Event::End(_) => root = close(&mut open).ok_or(mixed)?,
            Event::Text(text) => {
                add(&mut open, &text.xml_content(XmlVersion::Explicit1_0)).ok_or(malformed)?;
            }
            Event::CData(data) => {
                add(&mut open, &data.xml_content(XmlVersion::Explicit1_0)).ok_or(malformed)?;
            }
            Event::GeneralRef(reference) => {
                let unknown = Malformed::XmlEntity(reader.buffer_position());
                let numbered = reference.resolve_char_ref().map_err(|_error| malformed)?;
                let character = match numbered {
                    Some(character) => character,
                    None => predefined(reference.as_ref()).ok_or(unknown)?,
                };
                add(&mut open, character.encode_utf8(&mut [0; 4])).ok_or(malformed)?;
            }
            Event::DocType(_) => return Err(Malformed::DocumentType),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if open.is_empty() => return root.ok_or(malformed),
            Event::Eof => return Err(malformed),
        }
    }
}

impl Open {
    fn new(start: &BytesStart<'_>) -> Option<Self> {
        let mut is_nil = false;
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.ok()?;
            let (name, prefix) = attribute.key.decompose();
            let is_namespaced = prefix.is_some_and(|prefix| prefix.as_ref() != "xmlns");
            if is_namespaced && name.as_ref() == "nil" {
                is_nil = matches!(attribute.value.as_ref(), "true" | "1");
            }
        }
        let name = start.local_name().as_ref().to_ascii_lowercase();
        Some(Self { name, is_nil, ..Self::default() })
    }

    /// Children are an object, and text is a string. Both together have no equivalent in JSON.
    fn value(self) -> Option<Value> {
        match self.members {
            Some(_) if self.is_nil || !is_blank(&self.text) => None,
            Some(members) => Some(Value::Object(members)),
            None if !self.is_nil => Some(Value::String(self.text)),
            None => is_blank(&self.text).then_some(Value::Null),
        }
    }
}

/// Closes the innermost element. It becomes part of its parent, or is returned if it is the root.
fn close(open: &mut Vec<Open>) -> Option<Option<Value>> {
    let mut element = open.pop()?;
    let name = std::mem::take(&mut element.name);
    let value = element.value()?;
    match open.last_mut() {
        Some(parent) => {
            repeat(parent.members.get_or_insert_default(), &name, value);
            Some(None)
        }
        None => Some(Some(value)),
    }
}

/// Adds text to the innermost element. Outside the root only white space is allowed.
fn add(open: &mut [Open], text: &str) -> Option<()> {
    match open.last_mut() {
        Some(element) if text.chars().all(is_xml_char) => {
            element.text.push_str(text);
            Some(())
        }
        Some(_) => None,
        None => is_blank(text).then_some(()),
    }
}

fn predefined(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    /// CONTRACT 10: any root, any namespace, any order; nil, CDATA, entities, references.
    #[rstest]
    #[case("<x><Key>lk</Key></x>", json!({"key": "lk"}))]
    #[case("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<x><a>1</a></x>\n", json!({"a": "1"}))]
    #[case("<n:x xmlns:n='urn:x'><n:A>1</n:A><B xmlns='urn:y'>2</B></n:x>", json!({"a": "1", "b": "2"}))]
    #[case("<p:x><q:a>1</q:a></p:x>", json!({"a": "1"}))]
    #[case("<x><c><b>2</b><a>1</a></c></x>", json!({"c": {"b": "2", "a": "1"}}))]
    #[case("<x><a i:nil='true'/><b i:nil=\"1\"></b><c i:nil='false'>1</c></x>", json!({"a": null, "b": null, "c": "1"}))]
    #[case("<x><a nil='true'>1</a></x>", json!({"a": "1"}))]
    #[case("<x><a xmlns:nil='1'>1</a></x>", json!({"a": "1"}))]
    #[case("<x><a>1</a><A>2</A></x>", json!({"a": ["1", "2"]}))]
    #[case("<x><a><b/></a><c/><a i:nil='1'/><a>3</a></x>", json!({"a": [{"b": ""}, null, "3"], "c": ""}))]
    #[case("<x><a><![CDATA[<&>]]>b<![CDATA[]]></a></x>", json!({"a": "<&>b"}))]
    #[case("<x><a>&lt;&amp;&gt;&quot;&apos;&#229;&#x1F600;</a></x>", json!({"a": "<&>\"'å😀"}))]
    #[case("<x><a> 1 <!-- no --> 2 <?pi?></a></x>", json!({"a": " 1  2 "}))]
    #[case("<x><a>\r\n\n\t&#13;</a></x>", json!({"a": "\n\n\t\r"}))]
    #[case("<x>\n  <a/>\n</x>", json!({"a": ""}))]
    #[case("<x/>", json!(""))]
    #[case("<x i:nil='true'/>", json!(null))]
    #[case("<x>text</x>", json!("text"))]
    #[case("<x a='1' b='2'><c d='3'>4</c></x>", json!({"c": "4"}))]
    #[case(" ", json!(null))]
    fn a_document_is_a_tree(#[case] document: &str, #[case] expected: Value) {
        assert_eq!(parse(document), Ok(expected), "{document}");
    }

    /// CONTRACT 10: rejects text that is not XML 1.0, and characters that XML 1.0 cannot hold.
    #[rstest]
    #[case("<x>")]
    #[case("<x></y>")]
    #[case("<x></X>")]
    #[case("</x>")]
    #[case("x")]
    #[case("<x/><y/>")]
    #[case("<x/>y")]
    #[case("y<x/>")]
    #[case("<x>&amp</x>")]
    #[case("<x>& </x>")]
    #[case("<x>&#0;</x>")]
    #[case("<x>&#1;</x>")]
    #[case("<x>&#xD800;</x>")]
    #[case("<x>&#xFFFE;</x>")]
    #[case("<x>&#99999999999;</x>")]
    #[case("<x>\u{0}</x>")]
    #[case("<x>\u{1}</x>")]
    #[case("<x><![CDATA[\u{1}]]></x>")]
    #[case("<x a></x>")]
    #[case("<x><![CDATA[</x>")]
    #[case("<!-- ")]
    #[case("{}")]
    fn what_is_not_such_a_document_is_refused(#[case] document: &str) {
        let told = parse(document).expect_err(document).to_string();
        assert!(told.starts_with("the body is not valid XML"), "{document}: {told}");
        assert!(!told.contains("fugit"), "{told}");
    }

    /// CONTRACT 10: mixed content has no equivalent in JSON, and XML predefines five entities only.
    #[test]
    fn text_beside_elements_and_unknown_entities_are_refused() {
        for document in [
            "<x><a>1</a>mixed</x>",
            "<x>mixed<a>1</a></x>",
            "<x><a i:nil='true'>1</a></x>",
            "<x><a i:nil='true'><b/></a></x>",
        ] {
            assert!(matches!(parse(document), Err(Malformed::XmlMixed(_))), "{document}");
        }
        assert_eq!(parse("<x>&nbsp;</x>"), Err(Malformed::XmlEntity(9)));
    }

    /// CONTRACT 10: no document type: neither billion laughs nor external entities.
    #[rstest]
    #[case("<!DOCTYPE x><x/>")]
    #[case("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>")]
    #[case("<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>")]
    #[case("<!DOCTYPE x SYSTEM 'http://127.0.0.1/x.dtd'><x/>")]
    #[case("<!doctype x><x/>")]
    #[case(
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;'>\
         <!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;'>]><x>&c;</x>"
    )]
    fn a_document_type_is_refused(#[case] document: &str) {
        assert_eq!(parse(document), Err(Malformed::DocumentType));
    }

    /// CONTRACT 10: bounded depth.
    #[test]
    fn deep_nesting_is_refused() {
        let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(parse(&deep(32)).is_ok());
        assert_eq!(parse(&deep(33)), Err(Malformed::TooDeep(32)));
        assert_eq!(parse(&deep(10_000)), Err(Malformed::TooDeep(32)));
        let empty = format!("{}<b/>", "<a>".repeat(32));
        assert_eq!(parse(&empty), Err(Malformed::TooDeep(32)));
        let many = |elements: usize| format!("<x>{}</x>", "<a/>".repeat(elements - 1));
        assert!(parse(&many(20_000)).is_ok());
        assert_eq!(parse(&many(20_001)), Err(Malformed::TooMany(20_000)));
    }

    /// CONTRACT 13: byte order mark, header, declaration, in this order.
    #[test]
    fn the_charset_is_that_of_the_header_or_the_document() {
        let utf_16: Vec<u8> =
            "\u{feff}<a>å</a>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (charset, bytes) in [
            (None, "<a>å</a>".as_bytes()),
            (None, b"\xef\xbb\xbf<a>\xc3\xa5</a>"),
            (None, &utf_16),
            (Some(Charset::Utf16), &utf_16),
            (Some(Charset::Utf8), &utf_16),
            (Some(Charset::Utf16Le), &utf_16),
            (Some(Charset::Latin1), b"<a>\xe5</a>"),
            (None, b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe5</a>"),
            (Some(Charset::Utf8), "<?xml version='1.0' encoding='ISO-8859-1'?><a>å</a>".as_bytes()),
            (None, "<?xml version='1.0' encoding='utf-16'?><a>å</a>".as_bytes()),
            (Some(Charset::Utf16), "<?xml version='1.0' encoding='utf-16'?><a>å</a>".as_bytes()),
            (None, "<?xml version='1.0' encoding=''?><a>å</a>".as_bytes()),
            (None, b"<?xml version='1.0' encoding='ASCII'?><a>&#229;</a>"),
            (None, b"<?xml version='1.0' encoding='latin1'?><a>\xe5</a>"),
            (None, &utf_16[2..]),
        ] {
            let text = decode(charset, bytes).expect("text");
            assert_eq!(parse(&text), Ok(json!("å")), "{text}");
        }
        let odd = decode(None, b"<?xml version='1.0' encoding='koi8-r'?><a/>");
        assert_eq!(odd, Err(Malformed::XmlEncoding));
        assert!(decode(None, b"<a>\xe5</a>").is_err());
    }

    /// Only a declaration declares: not another instruction, nor what merely begins like one.
    #[test]
    fn what_is_no_declaration_declares_nothing() {
        for document in
            ["<?r\u{feff}=\"\"?", "<?foo encoding='koi8-r'?><a/>", "<?xmlx encoding='x'?>"]
        {
            assert_eq!(decode(None, document.as_bytes()).as_deref(), Ok(document));
        }
    }

    proptest! {
        #[test]
        fn no_document_panics(document in r#"(<a>|</a>|<b/>|&|;|#|x|!|\[|CDATA|-|\?|[<>"'= å]){0,30}"#) {
            let _ = parse(&document);
        }
    }
}
