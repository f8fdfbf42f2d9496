//! Answers with tokens, as odd as providers send them.
//!
//! Invariant: each row is an answer as a provider sends it, with made-up values.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::{AnswerRules, ClientAuth, Endpoints};

fn with_rules(answer: AnswerRules) -> Registration {
    let endpoints = Endpoints::of_token("https://login.example/token");
    Registration { answer, ..Registration::new(endpoints, "id", ClientAuth::Basic) }
}

fn standard() -> Registration {
    with_rules(AnswerRules::default())
}

fn answer<'a>(status: u16, content_type: Option<&'a str>, body: &'a [u8]) -> Answer<'a> {
    Answer { status, content_type, retry_after: None, body, received: 0 }
}

fn read(registration: &Registration, body: &str) -> GrantedTokens {
    let answer = answer(200, Some("application/json"), body.as_bytes());
    registration.read_tokens(&answer).expect("tokens")
}

fn exposed(tokens: &GrantedTokens) -> (&str, Option<&str>) {
    let refresh_token = tokens.refresh_token.as_ref().map(SecretText::expose);
    (tokens.access_token.expose(), refresh_token)
}

#[test]
fn the_answer_of_the_standard_is_read() {
    // The shape of RFC 6749 §5.1 with an ID token.
    let body = r#"{"access_token": "a-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "r-1",
        "refresh_token_expires_in": 86400, "scope": "mail calendar", "id_token": "h.p.s", "other": [{}]}"#;
    let tokens = read(&standard(), body);
    assert_eq!(exposed(&tokens), ("a-1", Some("r-1")));
    assert_eq!((tokens.expires_in, tokens.refresh_expires_in), (Some(3600), Some(86400)));
    assert_eq!(tokens.scope.as_deref(), Some("mail calendar"));
    assert_eq!(tokens.token_type.as_deref(), Some("Bearer"));
    assert_eq!(tokens.id_token.as_ref().map(SecretText::expose), Some("h.p.s"));
}

#[rstest]
#[case::plain(200, Some("application/json"), r#"{"access_token": "a-1", "refresh_token": "r-1"}"#)]
#[case::created(
    201,
    Some("application/json"),
    r#"{"access_token": "a-1", "refresh_token": "r-1"}"#
)]
#[case::no_type(200, None, r#"{"access_token": "a-1", "refresh_token": "r-1"}"#)]
#[case::text(
    200,
    Some("text/plain; charset=utf-8"),
    r#"{"access_token": "a-1", "refresh_token": "r-1"}"#
)]
#[case::script(200, Some("text/javascript"), r#"{"access_token": "a-1", "refresh_token": "r-1"}"#)]
#[case::as_html(200, Some("text/html"), r#"{"access_token": "a-1", "refresh_token": "r-1"}"#)]
#[case::as_form(
    200,
    Some("application/x-www-form-urlencoded"),
    r#"{"access_token": "a-1", "refresh_token": "r-1"}"#
)]
#[case::mark(200, None, "\u{feff}{\"access_token\": \"a-1\", \"refresh_token\": \"r-1\"}")]
#[case::spaces(200, None, "\r\n {\"access_token\": \"a-1\", \"refresh_token\": \"r-1\"} \n")]
#[case::form(
    200,
    Some("application/x-www-form-urlencoded"),
    "access_token=a-1&refresh_token=r-1&scope="
)]
#[case::form_as_text(200, Some("text/plain"), "access_token=a%2D1&refresh_token=r-1\n")]
#[case::form_as_json(200, Some("application/json"), "access_token=a-1&refresh_token=r-1")]
#[case::repeated(200, None, r#"{"access_token": "a-1", "access_token": "a-1", "refresh_token": null, "refresh_token": "r-1"}"#)]
#[case::no_error(200, None, r#"{"error": "", "access_token": "a-1", "refresh_token": "r-1"}"#)]
#[case::no_error(200, None, r#"{"error": null, "access_token": "a-1", "refresh_token": "r-1"}"#)]
#[case::no_error(200, None, r#"{"error": false, "access_token": "a-1", "refresh_token": "r-1"}"#)]
#[case::no_error(200, None, r#"{"error": 0, "access_token": "a-1", "refresh_token": "r-1"}"#)]
#[case::odd_values(200, None, r#"{"access_token": "a-1", "refresh_token": "r-1", "scope": {}, "token_type": 1, "id_token": "", "expires_in": []}"#)]
fn tokens_are_read_whatever_they_are_in(
    #[case] status: u16,
    #[case] content_type: Option<&str>,
    #[case] body: &str,
) {
    let answer = answer(status, content_type, body.as_bytes());
    let tokens = standard().read_tokens(&answer).expect("tokens");
    assert_eq!(exposed(&tokens), ("a-1", Some("r-1")));
    assert!(tokens.token_type.is_none() && tokens.scope.is_none() && tokens.id_token.is_none());
    assert_eq!(tokens.expires_in, None);
}

#[rstest]
#[case::html("text/html", "access_token=a-1")]
#[case::markup("text/plain", "<p>access_token=a-1")]
#[case::no_text("application/json", "{\"access_token\": \"a\u{0}\"}")]
fn what_is_no_answer_is_not_taken_for_one(#[case] content_type: &str, #[case] body: &str) {
    let answer = answer(200, Some(content_type), body.as_bytes());
    assert!(standard().read_tokens(&answer).is_err());
}

#[test]
fn bytes_that_are_no_text_are_no_answer() {
    for body in [&b"{\"access_token\": \"a\xff\"}"[..], b"access_token=a\xff", b"\xff\xfe{\0}\0"] {
        assert!(standard().read_tokens(&answer(200, None, body)).is_err());
    }
}

#[rstest]
#[case("3600", Some(3600))]
#[case::paypal(r#""3600""#, Some(3600))]
#[case(r#"" 3600 ""#, Some(3600))]
#[case::exact_online(r#""600""#, Some(600))]
#[case("3599.9", Some(3599))]
#[case(r#""3599.9""#, Some(3599))]
#[case("0", Some(0))]
#[case("-0.0", Some(0))]
#[case("315360000", Some(315_360_000))]
#[case("315360001", None)]
#[case("-1", None)]
#[case("-0.5", None)]
#[case("9223372036854775807", None)]
#[case("9223372036854775808", None)]
#[case("99999999999999999999999999", None)]
#[case("1e300", None)]
#[case(r#""1e999""#, None)]
#[case(r#""inf""#, None)]
#[case(r#""NaN""#, None)]
#[case(r#""""#, None)]
#[case(r#""one hour""#, None)]
#[case::sentry(r#""2030-01-01T00:00:00Z""#, None)]
#[case("null", None)]
#[case("true", None)]
#[case("[3600]", None)]
#[case::the_last_counts(r#"1, "expires_in": 2"#, Some(2))]
fn a_life_that_makes_no_sense_counts_as_unsaid(#[case] value: &str, #[case] expected: Option<i64>) {
    let body = format!(r#"{{"access_token": "a-1", "expires_in": {value}}}"#);
    assert_eq!(read(&standard(), &body).expires_in, expected);
}

#[rstest]
#[case("3600000", Some(3600))]
#[case("999", Some(0))]
#[case(r#""3600500""#, Some(3600))]
#[case("315360000000", Some(315_360_000))]
#[case("315360001000", None)]
#[case("-1", None)]
fn a_life_may_be_in_milliseconds(#[case] value: &str, #[case] expected: Option<i64>) {
    let rules = AnswerRules { expires_in_unit: TimeUnit::Milliseconds, ..AnswerRules::default() };
    let body = format!(r#"{{"access_token": "a-1", "expires_in": {value}}}"#);
    assert_eq!(read(&with_rules(rules), &body).expires_in, expected);
}

#[test]
fn a_refresh_token_that_lasts_zero_seconds_lasts_for_ever() {
    let rules = AnswerRules {
        refresh_expires_in: "refresh_expires_in".to_owned(),
        ..AnswerRules::default()
    };
    let body = r#"{"access_token": "a-1", "expires_in": 0, "refresh_expires_in": 0}"#;
    let tokens = read(&with_rules(rules), body);
    assert_eq!((tokens.expires_in, tokens.refresh_expires_in), (Some(0), None));
}

#[test]
fn values_are_where_the_rules_say() {
    let slack = AnswerRules {
        access_token: "authed_user.access_token".to_owned(),
        refresh_token: "authed_user.refresh_token".to_owned(),
        ..AnswerRules::default()
    };
    let body = r#"{"ok": true, "access_token": "bot", "authed_user": {"access_token": "a-1", "refresh_token": "r-1"}}"#;
    assert_eq!(exposed(&read(&with_rules(slack), body)), ("a-1", Some("r-1")));

    let sentry = AnswerRules {
        access_token: "token".to_owned(),
        refresh_token: "refreshToken".to_owned(),
        expires_in: "expiresAt".to_owned(),
        scope: "scopes".to_owned(),
        ..AnswerRules::default()
    };
    let body = r#"{"token": "a-1", "refreshToken": "r-1", "expiresAt": "2030-01-01", "scopes": ["org:read", "event:read"]}"#;
    let tokens = read(&with_rules(sentry), body);
    assert_eq!(exposed(&tokens), ("a-1", Some("r-1")));
    assert_eq!((tokens.expires_in, tokens.scope.as_deref()), (None, Some("org:read event:read")));

    // TikTok's business API.
    let data = AnswerRules {
        access_token: "data.access_token".to_owned(),
        refresh_token: "data.refresh_token".to_owned(),
        refresh_expires_in: "data.refresh_token_expires_in".to_owned(),
        ..AnswerRules::default()
    };
    let body = r#"{"code": 0, "data": {"access_token": "a-1", "refresh_token": "r-1", "refresh_token_expires_in": 9}}"#;
    let tokens = read(&with_rules(data), body);
    assert_eq!((exposed(&tokens), tokens.refresh_expires_in), (("a-1", Some("r-1")), Some(9)));

    // Shopify.
    let body = r#"{"access_token": "a-1", "expires_in": 3600, "refresh_token": "r-1", "refresh_token_expires_in": 7776000}"#;
    assert_eq!(read(&standard(), body).refresh_expires_in, Some(7_776_000));

    // Stripe, Jobber and others: an end is not said.
    let body = r#"{"access_token": "a-1", "refresh_token": "r-1", "livemode": true}"#;
    assert_eq!(read(&standard(), body).expires_in, None);
}

#[test]
fn an_empty_path_is_nowhere() {
    let rules = AnswerRules { refresh_token: String::new(), ..AnswerRules::default() };
    let body = r#"{"access_token": "a-1", "refresh_token": "r-1", "": "r-2"}"#;
    assert_eq!(exposed(&read(&with_rules(rules), body)), ("a-1", None));
}

#[test]
fn a_repeated_parent_is_searched_as_a_whole() {
    let rules = AnswerRules { access_token: "data.t".to_owned(), ..AnswerRules::default() };
    let two = r#"{"data": {"t": "a-1"}, "data": {"t": "a-2"}}"#;
    let registration = with_rules(rules);
    assert!(registration.read_tokens(&answer(200, None, two.as_bytes())).is_err());
    let one = r#"{"data": {"t": "a-1"}, "data": {}}"#;
    assert_eq!(exposed(&read(&registration, one)), ("a-1", None));
}

#[test]
fn a_token_of_64_kib_is_read() {
    let body = json!({ "access_token": "a".repeat(64 << 10) }).to_string();
    assert_eq!(read(&standard(), &body).access_token.expose().len(), 64 << 10);
}

#[test]
fn nesting_without_end_is_no_answer() {
    let body = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert!(standard().read_tokens(&answer(200, None, body.as_bytes())).is_err());
}

#[test]
fn debug_prints_no_token() {
    let body = r#"{"access_token": "SECRET", "refresh_token": "SECRET", "id_token": "SECRET"}"#;
    assert!(!format!("{:?}", read(&standard(), body)).contains("SECRET"));
    let answer = Answer { retry_after: Some("1"), ..answer(200, Some("a/b"), body.as_bytes()) };
    assert!(!format!("{answer:?}").contains("SECRET"));
    let cut = Answer { body: &body.as_bytes()[..30], ..answer };
    assert!(!format!("{:?}", standard().read_tokens(&cut).expect_err("cut")).contains("SECRET"));
}

proptest! {
    #[test]
    fn tokens_come_back_as_they_were_written(
        access_token in "[^\0]{1,64}",
        refresh_token in "[^\0]{1,64}",
        is_form: bool,
    ) {
        let body = if is_form {
            let fields = [("access_token", access_token.as_str()), ("refresh_token", &refresh_token)];
            form::write(fields.into_iter()).to_string()
        } else {
            json!({"access_token": access_token, "refresh_token": refresh_token}).to_string()
        };
        let tokens = read(&standard(), &body);
        prop_assert_eq!(exposed(&tokens), (access_token.as_str(), Some(refresh_token.as_str())));
    }

    #[test]
    fn no_bytes_panic(status: u16, body: Vec<u8>, content_type in prop::option::of(".*")) {
        let _ = standard().read_tokens(&answer(status, content_type.as_deref(), &body));
    }

    #[test]
    fn no_text_panics(status in 200..600_u16, body in r#"[{"access_token":"]{0,4}.*|([a-z_]{1,9}=[^&]*&){0,4}"#) {
        let _ = standard().read_tokens(&answer(status, None, body.as_bytes()));
    }

    #[test]
    fn no_number_panics(life in any::<f64>(), number: i64, is_milliseconds: bool) {
        let expires_in_unit =
            if is_milliseconds { TimeUnit::Milliseconds } else { TimeUnit::Seconds };
        let rules = with_rules(AnswerRules { expires_in_unit, ..AnswerRules::default() });
        for value in [json!(life), json!(number), json!(life.to_string())] {
            let body = json!({"access_token": "a-1", "expires_in": value}).to_string();
            let life = read(&rules, &body).expires_in;
            prop_assert!(life.is_none_or(|life| (0..=315_360_000).contains(&life)));
        }
    }
}
