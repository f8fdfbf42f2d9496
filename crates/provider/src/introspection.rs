//! Answers of an introspection endpoint.
//!
//! Invariant: a token is active only if the member `active` says so. Nothing else is guessed.

use std::ops::RangeInclusive;

use model::CauseKind;

use crate::{
    Answer, Refusal, Registration,
    answer::{LIFE_MAX, read_body, scope},
    json::Json,
    verdict,
};

/// The provider's information about a token (RFC 7662 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    /// Whether the token is active.
    pub is_active: bool,
    /// The scope of an active token, as the provider writes it.
    pub scope: Option<String>,
    /// The expiry of an active token, in seconds since 1970. `None` if it is missing, or more than ten years before or
    /// after the answer.
    pub expires: Option<i64>,
}

impl Registration {
    /// Reads an introspection answer. `active` may be a boolean, or a boolean as text.
    ///
    /// # Errors
    /// The answer has no `active`. The class is by the table at [`crate::RefusalClass`].
    pub fn read_introspection(&self, answer: &Answer<'_>) -> Result<Introspection, Refusal> {
        let body = read_body(answer);
        match body {
            Some(body) if (200..300).contains(&answer.status) && !self.says_error(&body) => {
                let unreadable = || Refusal::ambiguous(CauseKind::Unreadable);
                let is_active = is_active(&body).ok_or_else(unreadable)?;
                Ok(Introspection {
                    is_active,
                    scope: body.at("scope").filter(|_| is_active).and_then(scope),
                    expires: body
                        .at("exp")
                        .filter(|_| is_active)
                        .and_then(|value| expiry(value, answer.received)),
                })
            }
            body => Err(verdict::of(self, answer, body.as_ref())),
        }
    }
}

/// The value of `active`. `None` if it is missing, not a boolean, or repeated with two values.
fn is_active(body: &Json) -> Option<bool> {
    let mut values = body.all("active").into_iter().map(|value| match value {
        Json::Bool(value) => Some(*value),
        Json::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Json::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    });
    let first = values.next()??;
    values.all(|other| other == Some(first)).then_some(first)
}

fn expiry(value: &Json, received: i64) -> Option<i64> {
    let seconds = match value {
        Json::Number(number) => *number,
        Json::Text(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    believed(received as f64).contains(&seconds).then_some(seconds as i64)
}

/// The accepted expiries. The range excludes times in milliseconds.
fn believed(received: f64) -> RangeInclusive<f64> {
    received - LIFE_MAX..=received + LIFE_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::{ClientAuth, Endpoints, RefusalClass};

    const NOW: i64 = 1_790_000_000;

    fn read(status: u16, body: &[u8]) -> Result<Introspection, Refusal> {
        let endpoints = Endpoints::of_token("https://login.example/token");
        let registration = Registration::new(endpoints, "id", ClientAuth::Basic);
        let answer = Answer { status, content_type: None, retry_after: None, body, received: NOW };
        registration.read_introspection(&answer)
    }

    fn active(scope: Option<&str>, expires: Option<i64>) -> Introspection {
        Introspection { is_active: true, scope: scope.map(str::to_owned), expires }
    }

    #[rstest]
    #[case::whole(
        r#"{"active": true, "scope": "a b", "exp": 1790003600, "sub": "x"}"#,
        active(Some("a b"), Some(1_790_003_600))
    )]
    #[case::alone(r#"{"active": true}"#, active(None, None))]
    #[case::as_text(
        r#"{"active": "True", "exp": " 1790003600 "}"#,
        active(None, Some(1_790_003_600))
    )]
    #[case::list(
        r#"{"active": true, "scope": ["a", "b"], "exp": 1790003600.9}"#,
        active(Some("a b"), Some(1_790_003_600))
    )]
    #[case::twice(r#"{"active": true, "active": "true"}"#, active(None, None))]
    #[case::form("active=true&scope=a+b&exp=1790003600", active(Some("a b"), Some(1_790_003_600)))]
    #[case::nonsense(r#"{"active": true, "scope": 1, "exp": {}}"#, active(None, None))]
    #[case::milliseconds(r#"{"active": true, "exp": 1790003600000}"#, active(None, None))]
    #[case::ancient(r#"{"active": true, "exp": 0}"#, active(None, None))]
    #[case::negative(r#"{"active": true, "exp": -1}"#, active(None, None))]
    #[case::huge(r#"{"active": true, "exp": 1e300}"#, active(None, None))]
    fn what_works(#[case] body: &str, #[case] expected: Introspection) {
        assert_eq!(read(200, body.as_bytes()), Ok(expected));
    }

    /// The other members of an inactive token are ignored.
    #[rstest]
    #[case(r#"{"active": false}"#)]
    #[case(r#"{"active": "false", "scope": "a", "exp": 1790003600}"#)]
    fn what_does_not_work(#[case] body: &str) {
        let inactive = Introspection { is_active: false, scope: None, expires: None };
        assert_eq!(read(200, body.as_bytes()), Ok(inactive));
    }

    #[rstest]
    #[case::empty(200, "", RefusalClass::Ambiguous, CauseKind::Unreadable)]
    #[case::missing(200, "{}", RefusalClass::Ambiguous, CauseKind::Unreadable)]
    #[case::number(200, r#"{"active": 1}"#, RefusalClass::Ambiguous, CauseKind::Unreadable)]
    #[case::null(200, r#"{"active": null}"#, RefusalClass::Ambiguous, CauseKind::Unreadable)]
    #[case::two(
        200,
        r#"{"active": true, "active": false}"#,
        RefusalClass::Ambiguous,
        CauseKind::Unreadable
    )]
    #[case::page(200, "<html>", RefusalClass::Ambiguous, CauseKind::Unreadable)]
    #[case::client(
        401,
        r#"{"error": "invalid_client"}"#,
        RefusalClass::ClientBlocked,
        CauseKind::InvalidClient
    )]
    #[case::error_beside(
        200,
        r#"{"error": "invalid_client", "active": true}"#,
        RefusalClass::ClientBlocked,
        CauseKind::InvalidClient
    )]
    #[case::refused(403, r#"{"active": true}"#, RefusalClass::Other, CauseKind::OtherStatus)]
    #[case::down(503, r#"{"active": true}"#, RefusalClass::Ambiguous, CauseKind::ServerError)]
    #[case::redirect(302, "", RefusalClass::Other, CauseKind::Redirect)]
    fn what_says_nothing(
        #[case] status: u16,
        #[case] body: &str,
        #[case] class: RefusalClass,
        #[case] kind: CauseKind,
    ) {
        let refusal = read(status, body.as_bytes()).expect_err("it says nothing of the token");
        assert_eq!((refusal.class, refusal.cause.kind), (class, kind));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(status: u16, body: Vec<u8>) {
            let _ = read(status, &body);
        }

        #[test]
        fn no_number_panics_and_an_end_is_within_bounds(exp in any::<f64>(), number: i64) {
            for exp in [json!(exp), json!(number), json!(exp.to_string()), json!(number.to_string())] {
                let body = json!({"active": true, "exp": exp}).to_string();
                let read = read(200, body.as_bytes()).expect("it is active");
                prop_assert!(read.expires.is_none_or(|end| (end - NOW).abs() <= 315_360_000));
            }
        }

        #[test]
        fn no_text_panics(body in r#"\{"active":(true|"[a-z]{0,5}"|.{0,9}),"exp":.{0,20}\}"#) {
            let _ = read(200, body.as_bytes());
        }
    }
}
