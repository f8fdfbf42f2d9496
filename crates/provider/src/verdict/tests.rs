//! Answers without tokens, and what follows from each.
//!
//! Invariant: each row is an answer as a provider, a proxy or a firewall sends it, with made-up values.

use proptest::prelude::*;
use rstest::rstest;

use super::RefusalClass::{Ambiguous, Busy, ClientBlocked, ClientFault, Dead, Interaction, Other};
use crate::{Answer, ClientAuth, Endpoints, ErrorWords, Refusal, RefusalClass, Registration};

const HTML: &str = "<!DOCTYPE html><title>Blocked</title>";

fn standard() -> Registration {
    Registration::new(Endpoints::of_token("https://login.example/token"), "id", ClientAuth::Basic)
}

fn with_words(
    dead: &[&str],
    client: &[&str],
    busy: &[&str],
    ok_field: Option<&str>,
) -> Registration {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let errors = ErrorWords {
        dead: words(dead),
        client: words(client),
        busy: words(busy),
        ok_field: ok_field.map(str::to_owned),
    };
    Registration { errors, ..standard() }
}

fn refusal(
    registration: &Registration,
    status: u16,
    retry_after: Option<&str>,
    body: &str,
) -> Refusal {
    let answer = Answer {
        status,
        content_type: Some("application/json"),
        retry_after,
        body: body.as_bytes(),
        received: 784_111_777,
    };
    registration.read_tokens(&answer).expect_err("no tokens")
}

fn verdict(registration: &Registration, status: u16, body: &str) -> (RefusalClass, String) {
    let refusal = refusal(registration, status, None, body);
    (refusal.class, refusal.cause.to_string())
}

#[rstest]
// Dead, and confirmed.
#[case(400, r#"{"error": "invalid_grant"}"#, Dead, "invalid_grant")]
#[case(401, r#"{"error": "invalid_grant"}"#, Dead, "invalid_grant")]
#[case::atlassian(
    403,
    r#"{"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."}"#,
    Dead,
    "invalid_grant"
)]
#[case(200, r#"{"error": "invalid_grant"}"#, Dead, "invalid_grant")]
#[case::form(400, "error=invalid_grant&error_description=Token+revoked", Dead, "invalid_grant")]
#[case::idle(400, r#"{"error": "invalid_grant", "error_codes": [700082], "error_description": "AADSTS700082: expired"}"#, Dead, "invalid_grant:700082")]
#[case::from_text(
    400,
    r#"{"error": "invalid_grant", "error_description": "AADSTS50173: The grant is revoked."}"#,
    Dead,
    "invalid_grant:50173"
)]
#[case::no_number(400, r#"{"error": "invalid_grant", "error_description": "AADSTS: ?", "error_codes": ["x", 1.5, -1, 1e20, null]}"#, Dead, "invalid_grant")]
#[case::codes_no_list(
    400,
    r#"{"error": "invalid_grant", "error_codes": 50076}"#,
    Dead,
    "invalid_grant"
)]
// The user has to do something.
#[case(400, r#"{"error": "interaction_required"}"#, Interaction, "interaction")]
#[case(
    400,
    r#"{"error": "invalid_grant", "suberror": "basic_action"}"#,
    Interaction,
    "interaction"
)]
#[case(
    400,
    r#"{"error": "invalid_grant", "suberror": "additional_action"}"#,
    Interaction,
    "interaction"
)]
#[case(400, r#"{"error": "invalid_grant", "suberror": "bad_token"}"#, Dead, "invalid_grant")]
#[case(
    400,
    r#"{"error": "invalid_grant", "error_codes": [50076]}"#,
    Interaction,
    "interaction:50076"
)]
#[case(
    400,
    r#"{"error": "invalid_grant", "error_codes": [70000, 50079]}"#,
    Interaction,
    "interaction:50079"
)]
#[case(
    400,
    r#"{"error": "invalid_grant", "error_description": "AADSTS53003: blocked"}"#,
    Interaction,
    "interaction:53003"
)]
// The client is at fault.
#[case(401, r#"{"error": "invalid_client"}"#, ClientBlocked, "invalid_client")]
#[case(400, r#"{"error": "invalid_client"}"#, ClientBlocked, "invalid_client")]
#[case(200, r#"{"error": "invalid_client"}"#, ClientBlocked, "invalid_client")]
#[case(500, r#"{"error": "invalid_client"}"#, ClientBlocked, "invalid_client")]
#[case(
    401,
    r#"{"error": "invalid_client", "error_codes": [7000215]}"#,
    ClientBlocked,
    "invalid_client:7000215"
)]
#[case(
    400,
    r#"{"error": "unauthorized_client", "error_codes": [50076]}"#,
    ClientFault,
    "unauthorized_client:50076"
)]
#[case(400, r#"{"error": "invalid_scope"}"#, ClientFault, "invalid_scope")]
#[case(400, r#"{"error": "invalid_request"}"#, ClientFault, "invalid_request")]
#[case(400, r#"{"error": "unsupported_grant_type"}"#, ClientFault, "invalid_request")]
#[case(401, "", ClientFault, "unauthorized_client")]
#[case(401, r#"{"message": "Bad credentials"}"#, ClientFault, "unauthorized_client")]
#[case(404, HTML, ClientFault, "http_other")]
#[case(405, "", ClientFault, "http_other")]
#[case(415, "", ClientFault, "http_other")]
// The provider has no time.
#[case(429, "", Busy, "rate_limited")]
#[case(429, r#"{"error": "invalid_grant"}"#, Busy, "rate_limited")]
#[case(400, r#"{"error": "slow_down"}"#, Busy, "rate_limited")]
#[case(503, r#"{"error": "temporarily_unavailable"}"#, Busy, "http_5xx")]
#[case(400, r#"{"error": "temporarily_unavailable"}"#, Busy, "rate_limited")]
// Unknown.
#[case(408, "", Ambiguous, "http_other")]
#[case(499, "", Ambiguous, "http_other")]
#[case(500, "", Ambiguous, "http_5xx")]
#[case(500, HTML, Ambiguous, "http_5xx")]
#[case(502, HTML, Ambiguous, "http_5xx")]
#[case(503, "", Ambiguous, "http_5xx")]
#[case(504, "", Ambiguous, "http_5xx")]
#[case(500, r#"{"error": "server_error"}"#, Ambiguous, "http_5xx")]
#[case::cybersource(500, r#"{"error": "invalid_grant"}"#, Ambiguous, "http_5xx")]
#[case(500, r#"{"error": "interaction_required"}"#, Ambiguous, "http_5xx")]
#[case(200, "", Ambiguous, "unreadable")]
#[case(200, " \r\n", Ambiguous, "unreadable")]
#[case(200, HTML, Ambiguous, "unreadable")]
#[case(200, "OK", Ambiguous, "unreadable")]
#[case(200, "null", Ambiguous, "unreadable")]
#[case(200, "[]", Ambiguous, "unreadable")]
#[case(200, "{}", Ambiguous, "unreadable")]
#[case::cut(200, r#"{"access_token": "a-1", "refresh_token": "r-1"#, Ambiguous, "unreadable")]
#[case(200, r#"{"error": "of its own"}"#, Ambiguous, "unreadable")]
#[case(200, r#"{"access_token": "a-1", "error": {"message": "no"}}"#, Ambiguous, "unreadable")]
#[case(200, r#"{"access_token": ""}"#, Ambiguous, "unreadable")]
#[case(200, r#"{"access_token": null}"#, Ambiguous, "unreadable")]
#[case(200, r#"{"access_token": 7}"#, Ambiguous, "unreadable")]
#[case(200, r#"{"access_token": "a\u0000"}"#, Ambiguous, "unreadable")]
#[case(200, r#"{"access_token": "a", "refresh_token": "r\u0000"}"#, Ambiguous, "unreadable")]
#[case::two_access_tokens(
    200,
    r#"{"access_token": "a-1", "access_token": "a-2"}"#,
    Ambiguous,
    "unreadable"
)]
#[case::two_refresh_tokens(
    200,
    r#"{"access_token": "a-1", "refresh_token": "r-1", "refresh_token": "r-2"}"#,
    Ambiguous,
    "unreadable"
)]
#[case::status_not_listed(202, r#"{"access_token": "a-1"}"#, Ambiguous, "unreadable")]
#[case(204, "", Ambiguous, "unreadable")]
// No verdict.
#[case::firewall(403, HTML, Other, "http_other")]
#[case(403, "", Other, "http_other")]
#[case(400, HTML, Other, "http_other")]
#[case(400, r#"{"error": "of its own"}"#, Other, "http_other")]
#[case(
    400,
    r#"{"error": "of its own", "error_codes": [50076], "suberror": "basic_action"}"#,
    Other,
    "http_other:50076"
)]
#[case::case_counts(400, r#"{"error": "INVALID_GRANT"}"#, Other, "http_other")]
#[case::word_elsewhere(
    400,
    r#"{"error_description": "invalid_grant", "message": "invalid_grant"}"#,
    Other,
    "http_other"
)]
#[case(400, r#"{"error": {"code": "invalid_grant"}}"#, Other, "http_other")]
#[case(418, "", Other, "http_other")]
#[case(103, "", Other, "http_other")]
#[case(302, "", Other, "redirect")]
#[case(307, r#"{"error": "invalid_grant"}"#, Other, "redirect")]
fn an_answer_without_tokens_is_judged_by_the_standard(
    #[case] status: u16,
    #[case] body: &str,
    #[case] class: RefusalClass,
    #[case] cause: &str,
) {
    assert_eq!(verdict(&standard(), status, body), (class, cause.to_owned()));
}

#[rstest]
#[case::wrong_secret(
    200,
    r#"{"ok": false, "error": "bad_client_secret"}"#,
    ClientFault,
    "unauthorized_client"
)]
#[case::spent(200, r#"{"ok": false, "error": "invalid_refresh_token"}"#, Dead, "invalid_grant")]
#[case::other(200, r#"{"ok": false, "error": "fatal_error"}"#, Ambiguous, "unreadable")]
#[case::no_word(200, r#"{"ok": false, "access_token": "a-1"}"#, Ambiguous, "unreadable")]
#[case::as_text(200, r#"{"ok": "False", "access_token": "a-1"}"#, Ambiguous, "unreadable")]
#[case::as_number(200, r#"{"ok": 0, "access_token": "a-1"}"#, Ambiguous, "unreadable")]
#[case::ratelimited(429, r#"{"ok": false, "error": "ratelimited"}"#, Busy, "rate_limited")]
fn slack_says_errors_with_status_200(
    #[case] status: u16,
    #[case] body: &str,
    #[case] class: RefusalClass,
    #[case] cause: &str,
) {
    let slack = with_words(
        &["invalid_refresh_token"],
        &["bad_client_secret"],
        &["ratelimited"],
        Some("ok"),
    );
    assert_eq!(verdict(&slack, status, body), (class, cause.to_owned()));
}

#[test]
fn an_ok_field_may_be_nested_with_its_word_beside_it() {
    let nested = with_words(&["gone"], &[], &[], Some("data.ok"));
    let body = r#"{"data": {"ok": false, "error": "gone", "access_token": "a-1"}}"#;
    assert_eq!(verdict(&nested, 200, body).0, Dead);
}

#[rstest]
#[case::github(r#"{"error": "bad_refresh_token"}"#, 200, Dead)]
#[case::github(r#"{"error": "incorrect_client_credentials"}"#, 200, ClientFault)]
#[case::github_form("error=bad_refresh_token&error_uri=https%3A%2F%2Fexample.com", 200, Dead)]
#[case::zoho(r#"{"error": "invalid_code"}"#, 200, Dead)]
#[case::zoho(r#"{"error": "Access Denied"}"#, 200, Busy)]
#[case::zoho(r#"{"error": "Access Denied", "error_description": "too many requests"}"#, 400, Busy)]
#[case::by_description(
    r#"{"error": "invalid_request", "error_description": "Token is dead."}"#,
    400,
    Dead
)]
#[case::not_by_a_part(
    r#"{"error": "invalid_request", "error_description": "Token is dead. "}"#,
    400,
    ClientFault
)]
#[case::not_by_another_case(r#"{"error": "Bad_Refresh_Token"}"#, 400, Other)]
#[case::description_first(
    r#"{"error": "Access Denied", "error_description": "Token is dead."}"#,
    400,
    Dead
)]
#[case::at_500(r#"{"error": "bad_refresh_token"}"#, 500, Dead)]
#[case::before_the_standard(r#"{"error": "invalid_client"}"#, 401, Busy)]
fn words_of_the_operator_go_before_the_standard(
    #[case] body: &str,
    #[case] status: u16,
    #[case] class: RefusalClass,
) {
    let words = with_words(
        &["bad_refresh_token", "invalid_code", "Token is dead.", "both"],
        &["incorrect_client_credentials", "both"],
        &["Access Denied", "invalid_client", "both"],
        None,
    );
    assert_eq!(verdict(&words, status, body).0, class);
    // In doubt the milder one.
    assert_eq!(verdict(&words, 400, r#"{"error": "both"}"#).0, Busy);
}

#[test]
fn an_invalid_request_is_dead_only_if_the_operator_says_so() {
    let body = r#"{"error": "invalid_request"}"#;
    assert_eq!(verdict(&standard(), 400, body).0, ClientFault);
    assert_eq!(verdict(&with_words(&["invalid_request"], &[], &[], None), 400, body).0, Dead);
}

#[rstest]
#[case(503, Some("30"), Busy, Some(30))]
#[case(503, Some("Sun, 06 Nov 1994 08:50:37 GMT"), Busy, Some(60))]
#[case(503, Some("later"), Ambiguous, None)]
#[case(503, None, Ambiguous, None)]
#[case(429, Some("86400"), Busy, Some(3600))]
#[case(429, Some("0"), Busy, Some(1))]
#[case(429, None, Busy, None)]
#[case(500, Some("30"), Ambiguous, Some(30))]
#[case(403, Some("30"), Other, Some(30))]
fn a_pause_is_kept_with_any_refusal(
    #[case] status: u16,
    #[case] retry_after: Option<&str>,
    #[case] class: RefusalClass,
    #[case] seconds: Option<u32>,
) {
    let refusal = refusal(&standard(), status, retry_after, "");
    assert_eq!((refusal.class, refusal.retry_after), (class, seconds));
}

/// The token that it replaces is spent, so that refusing it would end the grant.
#[test]
fn a_long_token_is_kept() {
    let long = "a".repeat(200 << 10);
    let body = format!(r#"{{"access_token": "{long}", "refresh_token": "{long}"}}"#);
    let answer = Answer {
        status: 200,
        content_type: None,
        retry_after: None,
        body: body.as_bytes(),
        received: 0,
    };
    let tokens = standard().read_tokens(&answer).expect("tokens");
    assert_eq!(tokens.access_token.expose(), long);
    assert_eq!(tokens.refresh_token.expect("it is there").expose(), long);
}

#[test]
fn a_refusal_says_nothing_that_the_provider_wrote() {
    let body =
        r#"{"error": "invalid_grant", "error_description": "token r-SECRET of ola@example.com"}"#;
    let refusal = refusal(&standard(), 400, None, body);
    assert_eq!(refusal.to_string(), "no tokens: invalid_grant");
    assert!(!format!("{refusal:?}").contains("SECRET"));
}

proptest! {
    /// The one verdict that ends a grant is not given without a word for it.
    #[test]
    fn without_its_word_no_answer_is_dead(
        status in 100..600_u16,
        error in "[a-z_]{0,12}",
        description in ".*",
    ) {
        prop_assume!(error != "invalid_grant");
        let body = serde_json::json!({"error": error, "error_description": description});
        let class = verdict(&standard(), status, &body.to_string()).0;
        prop_assert_ne!(class, Dead);
    }

    #[test]
    fn without_the_operators_word_no_500_is_dead(status in 500..600_u16, error in "[a-z_]{0,12}|invalid_grant") {
        let body = serde_json::json!({"error": error});
        prop_assert_ne!(verdict(&standard(), status, &body.to_string()).0, Dead);
    }
}
