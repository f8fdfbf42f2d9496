//! The expiry of an access token that is a JWT with `exp`.
//!
//! Invariant: only `exp` of a token is read. It is not verified, is returned only to holders of the token, and decides
//! nothing about access.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;

/// RFC 7519 §4.1.4: seconds since 1970 UTC, perhaps with a fraction.
#[derive(Deserialize)]
struct Claims {
    exp: f64,
}

/// Returns the `exp` of a JWT (RFC 7519 §4.1.4), to the second.
pub(crate) fn of_token(token: &str) -> Option<Timestamp> {
    let [_header, payload, _signature] = token.split('.').collect::<Vec<_>>()[..] else {
        return None;
    };
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let Claims { exp } = serde_json::from_slice(&payload).ok()?;
    // A cast saturates, and jiff rejects values beyond its range.
    Timestamp::from_second(exp as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn jwt(payload: &str) -> String {
        format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(payload))
    }

    #[rstest]
    #[case(r#"{"exp":1763906400}"#, Some("2025-11-23T14:00:00Z"))]
    #[case(r#"{"sub":"1","exp":1763906400.9,"iat":1}"#, Some("2025-11-23T14:00:00Z"))]
    #[case(r#"{"exp":0}"#, Some("1970-01-01T00:00:00Z"))]
    #[case(r#"{"exp":1e30}"#, None)]
    #[case(r#"{"exp":"1763906400"}"#, None)]
    #[case(r#"{"exp":null}"#, None)]
    #[case(r#"{"EXP":1}"#, None)]
    #[case("{}", None)]
    #[case("[]", None)]
    #[case("", None)]
    fn a_jwt_may_tell_when_it_expires(#[case] payload: &str, #[case] expected: Option<&str>) {
        let expected = expected.map(|time| time.parse().expect("time"));
        assert_eq!(of_token(&jwt(payload)), expected, "{payload}");
    }

    #[test]
    fn anything_else_tells_nothing() {
        for token in ["", "fugit", "..", "a.b", "e30.e30", "e30.%%%.x", "e30.e30=.x", "a.b.c.d.e"] {
            assert_eq!(of_token(token), None, "{token}");
        }
    }
}
