//! Forms: `Carrier.Name=…`, `Carrier[Name]=…` and `Name=…`.
//!
//! Invariant: fields with the same path are an array of their values. Bytes that are not text are rejected, and so is a
//! body whose first character shows that it is JSON or XML.

use serde_json::{Map, Value};

use super::{MAX_DEPTH, MAX_VALUES, Malformed, repeat};
use crate::{Charset, MediaType, NotText, query};

/// Reads a form.
pub(super) fn parse(charset: Charset, bytes: &[u8]) -> Result<Value, Malformed> {
    let fields = fields(charset, bytes, MAX_VALUES)?;
    if fields.is_empty() {
        return Ok(Value::Null);
    }
    let mut root = Map::new();
    let mut values = 0;
    for (name, value) in fields {
        let path = path(&name).map(str::to_ascii_lowercase);
        let path: Vec<String> = path.take(MAX_DEPTH).collect();
        if path.len() >= MAX_DEPTH {
            return Err(Malformed::TooDeep(MAX_DEPTH));
        }
        values += path.len();
        if values > MAX_VALUES {
            return Err(Malformed::TooMany(MAX_VALUES));
        }
        insert(&mut root, &path, value);
    }
    Ok(Value::Object(root))
}

/// The names and values of a form, as they are written. In UTF-16 the percent-encoded bytes are UTF-8.
///
/// # Errors
/// The form has more than `most` fields, or is not a form.
pub(super) fn fields(
    charset: Charset,
    bytes: &[u8],
    most: usize,
) -> Result<Vec<(String, String)>, Malformed> {
    let (text, charset) = match charset {
        narrow @ (Charset::Utf8 | Charset::Latin1 | Charset::Windows1252) => (None, narrow),
        wide @ (Charset::Utf16 | Charset::Utf16Le | Charset::Utf16Be) => {
            (Some(wide.decode(bytes)?), Charset::Utf8)
        }
    };
    let bytes = text.as_ref().map_or(bytes, |text| text.as_bytes());
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Text editors end a file with a line end, which is not part of the form. Any other white space is.
    let line_end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| bytes.ends_with(end));
    let bytes = &bytes[..bytes.len() - line_end.map_or(0, <[u8]>::len)];
    let mut fields = Vec::new();
    if bytes.trim_ascii().is_empty() {
        return Ok(fields);
    }
    for (name, value) in query::pairs(bytes) {
        if fields.is_empty() {
            let media_type = match name.trim_ascii_start().first() {
                Some(b'{' | b'[') => Some(MediaType::ApplicationJson),
                #[cfg(feature = "xml")]
                Some(b'<') => Some(MediaType::ApplicationXml),
                _ => None,
            };
            if let Some(media_type) = media_type {
                return Err(Malformed::SentAsForm(media_type));
            }
        }
        if fields.len() == most {
            return Err(Malformed::TooMany(most));
        }
        let odd = NotText { charset, valid_up_to: None };
        let name = charset.decode(&name).map_err(|_of_the_name| odd)?;
        // A byte order mark within a value is part of it.
        let value = match charset {
            Charset::Utf8 => String::from_utf8(value).map_err(|_of_the_value| odd)?,
            other => other.decode(&value).map_err(|_of_the_value| odd)?.into_owned(),
        };
        fields.push((name.into_owned(), value));
    }
    Ok(fields)
}

/// The names between dots and within brackets.
fn path(name: &str) -> impl Iterator<Item = &str> {
    name.split(['.', '[']).map(|part| part.strip_suffix(']').unwrap_or(part).trim())
}

/// Puts a value at a path. Of a text and an object at the same path the last wins.
fn insert(object: &mut Map<String, Value>, path: &[String], value: String) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        match object.get_mut(name) {
            Some(child @ Value::Object(_)) => *child = Value::String(value),
            _ => repeat(object, name, Value::String(value)),
        }
        return;
    }
    let child = object.entry(name.clone()).or_insert(Value::Null);
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    if let Value::Object(child) = child {
        insert(child, rest, value);
    }
}

#[cfg(all(test, feature = "xml"))]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    /// CONTRACT 11: the spellings, case, encoding, and repetition.
    #[rstest]
    #[case("", json!(null))]
    #[case(" \r\n", json!(null))]
    #[case("a=1", json!({"a": "1"}))]
    #[case("A.B=1&a.c=2", json!({"a": {"b": "1", "c": "2"}}))]
    #[case("A[B]=1&A[C][D]=2", json!({"a": {"b": "1", "c": {"d": "2"}}}))]
    #[case("A.B[C]=1", json!({"a": {"b": {"c": "1"}}}))]
    #[case("%41%2EB=1", json!({"a": {"b": "1"}}))]
    #[case("a=1&A=2", json!({"a": ["1", "2"]}))]
    #[case("a[b]=1&a.b=2&a.b=3", json!({"a": {"b": ["1", "2", "3"]}}))]
    #[case("a=1&a=2&a.b=3&a=4", json!({"a": "4"}))]
    #[case("a[]=1&a[]=2", json!({"a": {"": ["1", "2"]}}))]
    #[case("a=1&a.b=2", json!({"a": {"b": "2"}}))]
    #[case("a.b=2&a=1", json!({"a": "1"}))]
    #[case("a=x+y%20z%2B", json!({"a": "x y z+"}))]
    #[case("a=%C3%A5%00%F0%9F%98%80", json!({"a": "å\0😀"}))]
    #[case("a=%EF%BB%BFx", json!({"a": "\u{feff}x"}))]
    #[case("a", json!({"a": ""}))]
    #[case("a=1;b=2", json!({"a": "1;b=2"}))]
    #[case("a=1\r\n", json!({"a": "1"}))]
    #[case("a=1 \n\n", json!({"a": "1 \n"}))]
    #[case(" a=1\t", json!({"a": "1\t"}))]
    #[case(".a=1", json!({"": {"a": "1"}}))]
    #[case("a=1&[b]=2", json!({"a": "1", "": {"b": "2"}}))]
    fn fields_are_a_tree(#[case] form: &str, #[case] expected: Value) {
        assert_eq!(parse(Charset::Utf8, form.as_bytes()), Ok(expected), "{form}");
    }

    /// CONTRACT 13: percent signs encode bytes in the form's charset.
    #[test]
    fn charsets_are_honoured() {
        let expected = Ok(json!({"a": "å"}));
        assert_eq!(parse(Charset::Latin1, b"a=%E5"), expected);
        assert_eq!(parse(Charset::Latin1, b"a=\xe5"), expected);
        assert_eq!(parse(Charset::Utf16, b"\xff\xfea\0=\0\xe5\0"), expected);
        assert_eq!(parse(Charset::Utf16Be, b"\0a\0=\0%\0C\x003\0%\0A\x005"), expected);
    }

    /// CONTRACT 13: bytes that are not text are rejected, not replaced: a lone surrogate, a stray byte.
    #[test]
    fn what_is_no_text_is_refused() {
        for form in [&b"a=%ED%A0%80"[..], b"a=%FF", b"%FF=a", b"a=\xff"] {
            let error = parse(Charset::Utf8, form);
            let odd = NotText { charset: Charset::Utf8, valid_up_to: None };
            assert_eq!(error, Err(Malformed::Text(odd)));
        }
    }

    /// CONTRACT 11: a body that is sent as a form because the client names no other type.
    #[rstest]
    #[case(r#"{"Key":"lk_1"}"#, MediaType::ApplicationJson)]
    #[case(r#" [{"op":"add"}]"#, MediaType::ApplicationJson)]
    #[case("%7B%22Key%22%3A%22a%3Db%22%7D", MediaType::ApplicationJson)]
    #[case("<x><Key>lk</Key></x>", MediaType::ApplicationXml)]
    #[case("{}", MediaType::ApplicationJson)]
    fn json_that_is_sent_as_a_form_is_told(#[case] body: &str, #[case] expected: MediaType) {
        let refused = parse(Charset::Utf8, body.as_bytes());
        assert_eq!(refused, Err(Malformed::SentAsForm(expected)), "{body}");
    }

    #[test]
    fn ten_thousand_fields_are_read_and_deep_ones_refused() {
        let many: Vec<String> = (0..10_000).map(|field| format!("f{field}=x")).collect();
        let tree = parse(Charset::Utf8, many.join("&").as_bytes()).expect("a form");
        assert_eq!(tree["f9999"], "x");
        let deep = format!("a{}=x", "[a]".repeat(10_000));
        assert_eq!(parse(Charset::Utf8, deep.as_bytes()), Err(Malformed::TooDeep(32)));
        let many = |fields: usize| vec!["a.b=x"; fields].join("&");
        assert!(parse(Charset::Utf8, many(10_000).as_bytes()).is_ok());
        let refused = parse(Charset::Utf8, many(10_001).as_bytes());
        assert_eq!(refused, Err(Malformed::TooMany(20_000)));
    }
}
