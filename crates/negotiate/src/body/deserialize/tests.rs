//! Bodies of every syntax as values of types, and the errors of those that do not fit.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::{ContentType, MediaType};

fn body(media_type: MediaType, text: &str) -> Body {
    let content_type = ContentType { media_type, charset: None };
    Body::read(content_type, text.as_bytes()).expect(text)
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Order {
    name: String,
    urgent: bool,
    weight: f64,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    lines: Vec<Line>,
    note: Option<String>,
    limit: Option<u8>,
    speed: Option<Speed>,
    address: Option<Address>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Line {
    count: i32,
}

#[derive(Debug, PartialEq, Deserialize)]
enum Speed {
    Slow,
    Fast,
    #[serde(rename = "perHour")]
    PerHour(u32),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Address {
    zip_code: String,
    extra: BTreeMap<String, String>,
}

#[test]
fn each_syntax_gives_the_same_value() {
    let json = r#"{"NAME": "A&B", "urgent": true, "weight": 2.5, "Tags": ["x", "y"],
        "lines": [{"count": -1}, {"Count": 2.0}], "note": null, "Limit": 7, "speed": "Fast",
        "address": {"zipcode": "0150", "Extra": {"Floor": "2"}}, "unknown": [1]}"#;
    let xml = "<x><Name>A&amp;B</Name><Urgent>1</Urgent><Weight> 2.5 </Weight>\
        <Tags><Item>x</Item><Item>y</Item></Tags>\
        <Lines><Count>-1</Count></Lines><Lines><Count>2</Count></Lines><Note/>\
        <Limit>7</Limit><Speed>Fast</Speed>\
        <Address><ZipCode>0150</ZipCode><Extra><Floor>2</Floor></Extra></Address><Unknown/></x>";
    let form = "name=A%26B&urgent=true&weight=2.5&tags=x&tags=y&lines[1].count=2&lines[0].count=-1\
        &note=&limit=7&speed=Fast&address.zipCode=0150&address[extra][floor]=2&unknown=1";
    let expected: Order = body(MediaType::ApplicationJson, json).deserialize().expect("JSON");
    assert_eq!(expected.name, "A&B");
    assert_eq!(expected.tags, ["x", "y"]);
    assert_eq!(expected.lines, [Line { count: -1 }, Line { count: 2 }]);
    assert_eq!((expected.note.as_deref(), expected.limit), (None, Some(7)));
    for (media_type, text) in [(MediaType::TextXml, xml), (MediaType::Form, form)] {
        assert_eq!(body(media_type, text).deserialize().as_ref(), Ok(&expected), "{text}");
    }
}

#[test]
fn an_error_names_the_path() {
    let good = r#""name": "x", "urgent": true, "weight": 1"#;
    for (members, expected) in [
        (
            r#""lines": [{"count": 1}, {"count": "2"}]"#,
            "Lines[1].Count must be a whole number, not a string",
        ),
        (
            r#""lines": [{"count": 0.5}]"#,
            "Lines[0].Count must be a whole number, not a number with a fraction",
        ),
        (r#""lines": [{"count": 3000000000}]"#, "Lines[0].Count must be i32"),
        (r#""lines": [{"count": 1e300}]"#, "Lines[0].Count must be i32"),
        (r#""lines": [{}]"#, "Lines[0].Count is missing"),
        (r#""lines": [{"count": 1, "fugit": 2}]"#, "Lines[0].fugit is not a known property"),
        (r#""lines": {"count": 1}"#, "Lines must be an array, not an object"),
        (r#""lines": [1]"#, "Lines[0] must be an object, not a number"),
        (r#""tags": ["a", null]"#, "Tags[1] must be a string, not null"),
        (r#""limit": 300"#, "Limit must be u8"),
        (r#""urgent": 1"#, "Urgent must be a boolean, not a number"),
        (r#""name": null"#, "Name must be a string, not null"),
        (r#""speed": "fugit""#, "Speed must be one of: Slow, Fast, perHour"),
        (r#""speed": 1"#, "Speed must be a string, or an object with one property, not a number"),
        (r#""speed": {"perhour": "x"}"#, "Speed.perHour must be a whole number, not a string"),
        (r#""address": {"extra": {}}"#, "Address.zipCode is missing"),
        (
            r#""address": {"zipcode": "1", "extra": {"a": []}}"#,
            "Address.extra.a must be a string, not an array",
        ),
    ] {
        let body = body(MediaType::ApplicationJson, &format!("{{{good}, {members}}}"));
        let error = body.deserialize::<Order>().expect_err(members);
        assert_eq!(error.to_string(), expected, "{members}");
    }
    let empty = Body::empty().deserialize::<Order>().expect_err("no name");
    assert_eq!(empty.to_string(), "Name is missing");
    let array = body(MediaType::ApplicationJson, "[]").deserialize::<Order>();
    assert_eq!(
        array.expect_err("an array").to_string(),
        "the body must be an object, not an array"
    );
}

#[test]
fn variants_with_content_have_no_case() {
    for (media_type, text) in [
        (MediaType::ApplicationJson, r#"{"PERHOUR": 50}"#),
        (MediaType::TextXml, "<x><PerHour>50</PerHour></x>"),
        (MediaType::Form, "perhour=50"),
    ] {
        assert_eq!(body(media_type, text).deserialize(), Ok(Speed::PerHour(50)), "{text}");
    }
    assert_eq!(body(MediaType::TextXml, "<x>Slow</x>").deserialize(), Ok(Speed::Slow));
}

#[test]
fn text_is_a_number_only_where_there_are_no_numbers() {
    type Numbers = BTreeMap<String, Option<u64>>;
    let read = |media_type, text| body(media_type, text).deserialize::<Numbers>();
    assert_eq!(
        read(MediaType::Form, "a=1&a=+2+&b="),
        read(MediaType::ApplicationJson, r#"{"a": 2, "b": null}"#)
    );
    for (media_type, text) in [
        (MediaType::ApplicationJson, r#"{"a": "2"}"#),
        (MediaType::ApplicationJson, r#"{"a": -1}"#),
        (MediaType::Form, "a=inf"),
        (MediaType::Form, "a=-1e-9"),
        (MediaType::TextXml, "<x><a>0x1</a></x>"),
    ] {
        let error = read(media_type, text).expect_err(text);
        assert_eq!(error.property, "a", "{text}");
    }
    let any: Value = body(MediaType::Form, "a=1&b=2&b=3").deserialize().expect("any");
    assert_eq!(any, serde_json::json!({"a": "1", "b": ["2", "3"]}));
}

#[test]
fn the_type_decides_what_an_array_of_one_is() {
    type Lists = BTreeMap<String, Vec<String>>;
    for (media_type, text) in [
        (MediaType::ApplicationJson, r#"{"a": ["1"], "b": []}"#),
        (MediaType::TextXml, "<x><a>1</a><b/></x>"),
        (MediaType::TextXml, "<x><a><Item>1</Item></a><b> </b></x>"),
        (MediaType::Form, "a=1&b="),
        (MediaType::Form, "a[]=1&b="),
        (MediaType::Form, "a[7]=1&b="),
    ] {
        let lists: Lists = body(media_type, text).deserialize().expect(text);
        let expected = [("a".to_owned(), vec!["1".to_owned()]), ("b".to_owned(), vec![])];
        assert_eq!(lists, BTreeMap::from(expected), "{text}");
    }
    let pair = body(MediaType::ApplicationJson, "[1, 2, 3]").deserialize::<(u8, u8)>();
    assert_eq!(
        pair.expect_err("three").to_string(),
        "the body must be an array of at most 2 elements"
    );
    let pair = body(MediaType::ApplicationJson, "[1]").deserialize::<(u8, u8)>();
    assert_eq!(pair.expect_err("one").to_string(), "the body must be a tuple of size 2");
}
