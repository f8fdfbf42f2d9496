//! The bodies of each format, and their limits.

use super::*;

fn body(media_type: MediaType, text: &str) -> Body {
    let content_type = ContentType { media_type, charset: None };
    Body::read(content_type, text.as_bytes()).expect(text)
}

fn json(text: &str) -> Body {
    body(MediaType::ApplicationJson, text)
}

/// CONTRACT 3: names in any case.
#[test]
fn names_have_no_case() {
    let body = json(r#"{"tokenManagementInfo":{"PROVIDER":"et","accessToken":null}}"#);
    let root = body.root().expect("object");
    let carrier = root.object("TokenManagementInfo").expect("object").expect("there");
    assert_eq!(carrier.string("Provider"), Ok(Some("et")));
    assert_eq!(carrier.string("AccessToken"), Ok(None));
    assert_eq!(carrier.string("RefreshToken"), Ok(None));
}

/// CONTRACT 7: a wrong type names the property.
#[test]
fn a_wrong_type_names_the_property() {
    let told = |text| {
        let body = json(text);
        let provider = body
            .root()
            .and_then(|root| root.object("TokenManagementInfo"))
            .and_then(|carrier| carrier.expect("there").string("Provider").map(|_| ()));
        provider.expect_err(text).to_string()
    };
    assert_eq!(told("[]"), "the body must be an object, not an array");
    assert_eq!(
        told(r#"{"tokenmanagementinfo":"x"}"#),
        "TokenManagementInfo must be an object, not a string"
    );
    assert_eq!(
        told(r#"{"TokenManagementInfo":{"provider":{}}}"#),
        "TokenManagementInfo.Provider must be a string, not an object"
    );
}

/// CONTRACT 38: `5.0` is 5, and a number that is too large is one that a limit refuses.
#[test]
fn a_whole_number_may_have_a_point() {
    for (number, expected) in [
        ("5.0", Ok(Some(5))),
        ("5e0", Ok(Some(5))),
        ("-0.0", Ok(Some(0))),
        ("1e300", Ok(Some(i64::MAX))),
        ("-1e300", Ok(Some(i64::MIN))),
        ("99999999999999999999", Ok(Some(i64::MAX))),
        ("5.5", Err(Kind::Fraction)),
        ("1e-3", Err(Kind::Fraction)),
    ] {
        for body in [
            json(&format!("{{\"limit\":{number}}}")),
            body(MediaType::Form, &format!("limit={number}")),
            body(MediaType::TextXml, &format!("<x><Limit> {number} </Limit></x>")),
        ] {
            let found = body.root().expect("object").integer("Limit");
            assert_eq!(found.map_err(|wrong| wrong.found), expected, "{number}");
        }
    }
    for text in ["inf", "NaN", "x", "0x5"] {
        let found = body(MediaType::Form, &format!("limit={text}"));
        let found = found.root().expect("object").integer("Limit");
        assert_eq!(found.map_err(|wrong| wrong.found), Err(Kind::String), "{text}");
    }
}

/// CONTRACT 7: nothing has no properties, in any type.
#[test]
fn an_empty_body_and_null_have_no_properties() {
    for media_type in MediaType::READ {
        for text in ["", " ", "\r\n"] {
            let body = body(*media_type, text);
            assert_eq!(body.root().expect("object").string("Key"), Ok(None), "{media_type:?}");
        }
    }
    assert_eq!(json("null").root().expect("object").string("Key"), Ok(None));
    for text in ["<x/>", "<x> </x>", "<x i:nil='true'/>"] {
        let body = body(MediaType::TextXml, text);
        assert_eq!(body.root().expect("object").string("Key"), Ok(None), "{text}");
    }
}

/// CONTRACT 11: three spellings, and a mixture of them.
#[test]
fn a_form_may_leave_out_the_path() {
    for text in [
        "TokenManagementInfo.Provider=et&TokenManagementInfo.AccessToken=fugit",
        "TokenManagementInfo[Provider]=et&tokenmanagementinfo[accessTOKEN]=fugit",
        "Provider=et&AccessToken=fugit",
        "PROVIDER=x&TokenManagementInfo.Provider=et&AccessToken=fugit",
    ] {
        let body = body(MediaType::Form, text);
        let root = body.root().expect("object");
        let carrier = root.object("TokenManagementInfo").expect("object").expect("there");
        assert_eq!(carrier.string("Provider"), Ok(Some("et")), "{text}");
        assert_eq!(carrier.string("AccessToken"), Ok(Some("fugit")), "{text}");
        assert_eq!(carrier.string("RefreshToken"), Ok(None), "{text}");
    }
    let json = json(r#"{"Provider":"et"}"#);
    assert!(json.root().expect("object").object("TokenManagementInfo").expect("none").is_none());
}

/// CONTRACT 7, 38: numbers and truth values, as each type can have them.
#[test]
fn numbers_and_truth_values_are_read_in_every_type() {
    let read = |body: &Body| {
        let root = body.root().expect("object");
        (root.integer("N"), root.boolean("B"))
    };
    for (good, n, b) in [
        (json(r#"{"n":-7,"b":true}"#), Some(-7), Some(true)),
        (json(r#"{"N":null}"#), None, None),
        (body(MediaType::TextXml, "<x><N> 7 </N><B>False</B></x>"), Some(7), Some(false)),
        (body(MediaType::TextXml, "<x><N/><B> </B></x>"), None, None),
        (body(MediaType::Form, "N=0&b=1"), Some(0), Some(true)),
        (body(MediaType::Form, "N=&b="), None, None),
        (body(MediaType::Form, "N=007&b=0"), Some(7), Some(false)),
    ] {
        assert_eq!(read(&good), (Ok(n), Ok(b)));
    }
    for (bad, n, b) in [
        (json(r#"{"N":"7","B":"true"}"#), "not a string", "not a string"),
        (json(r#"{"N":1.5,"B":1}"#), "not a number with a fraction", "a boolean, not a number"),
        (json(r#"{"N":-1e-9,"B":[]}"#), "not a number with a fraction", "not an array"),
        (body(MediaType::TextXml, "<x><N>7a</N><B>yes</B></x>"), "not a string", "not a string"),
        (body(MediaType::TextXml, "<x><N><a/></N><B><a/></B></x>"), "object", "object"),
    ] {
        let (number, boolean) = read(&bad);
        let told = (number.expect_err(n).to_string(), boolean.expect_err(b).to_string());
        assert!(told.0.ends_with(n) && told.1.ends_with(b), "{told:?}");
    }
}

/// CONTRACT 10: an element without content may be text or an object.
#[test]
fn an_empty_element_is_what_is_asked_for() {
    let body = body(MediaType::TextXml, "<x><A/><B> </B></x>");
    let root = body.root().expect("object");
    assert_eq!(root.string("A"), Ok(Some("")));
    assert_eq!(root.string("B"), Ok(Some(" ")));
    assert!(root.object("A").expect("object").is_some());
    assert!(root.object("B").expect("object").is_some());
}
