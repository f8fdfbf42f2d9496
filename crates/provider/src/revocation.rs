//! Answers of a revocation endpoint.
//!
//! Invariant: a token counts as revoked only if the provider confirmed it. Otherwise it counts as valid.

use model::CauseKind;

use crate::{Answer, Refusal, Registration, answer::read_body, json::Json, verdict};

/// The result of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The token is not valid any more, or never was: providers also confirm unknown tokens (RFC 7009 §2.2).
    Confirmed,
    /// The provider does not revoke tokens of this kind: `unsupported_token_type` (RFC 7009 §2.2.1).
    NotSupported,
}

impl Registration {
    /// Reads a revocation answer. The status decides (RFC 7009 §2.2): 200, or 204 from some providers. The body is read
    /// only for an error, because some providers send one with 200.
    ///
    /// # Errors
    /// The provider did not confirm, and the token may be valid. No class says that the grant is dead: an unknown token
    /// is a success by the standard, and other words are ambiguous.
    pub fn read_revocation(&self, answer: &Answer<'_>) -> Result<Revocation, Refusal> {
        let body = read_body(answer);
        let says_error = body.as_ref().is_some_and(|body| self.says_error(body));
        if matches!(answer.status, 200 | 204) && !says_error {
            return Ok(Revocation::Confirmed);
        }
        let code = body.as_ref().and_then(|body| body.at("error")).and_then(Json::text);
        if answer.status == 400 && code == Some("unsupported_token_type") {
            return Ok(Revocation::NotSupported);
        }
        Err(match answer.status {
            // A success without a confirmation, such as 202.
            200..300 if !says_error => Refusal::ambiguous(CauseKind::OtherStatus),
            _ => verdict::of(self, answer, body.as_ref()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::{ClientAuth, Endpoints, ErrorWords, RefusalClass};

    fn registration() -> Registration {
        let endpoints = Endpoints::of_token("https://login.example/token");
        let errors = ErrorWords { ok_field: Some("ok".to_owned()), ..ErrorWords::default() };
        Registration { errors, ..Registration::new(endpoints, "id", ClientAuth::Basic) }
    }

    fn read(status: u16, retry_after: Option<&str>, body: &[u8]) -> Result<Revocation, Refusal> {
        let answer = Answer { status, content_type: None, retry_after, body, received: 0 };
        registration().read_revocation(&answer)
    }

    #[rstest]
    #[case::empty(200, "")]
    #[case::object(200, "{}")]
    #[case::text(200, "token revoked")]
    #[case::page(200, "<html>")]
    #[case::no_error(200, r#"{"error": null, "ok": true}"#)]
    #[case::no_content(204, "")]
    fn what_confirms(#[case] status: u16, #[case] body: &str) {
        assert_eq!(read(status, None, body.as_bytes()), Ok(Revocation::Confirmed));
    }

    #[rstest]
    #[case::json(r#"{"error": "unsupported_token_type"}"#)]
    #[case::form("error=unsupported_token_type")]
    fn what_is_not_supported(#[case] body: &str) {
        assert_eq!(read(400, None, body.as_bytes()), Ok(Revocation::NotSupported));
    }

    /// With any other answer the token may be valid.
    #[rstest]
    #[case::accepted(202, "", RefusalClass::Ambiguous, CauseKind::OtherStatus)]
    #[case::error_in_a_success(
        200,
        r#"{"error": "invalid_request"}"#,
        RefusalClass::ClientFault,
        CauseKind::InvalidRequest
    )]
    #[case::not_ok(
        200,
        r#"{"ok": false, "error": "no"}"#,
        RefusalClass::Ambiguous,
        CauseKind::Unreadable
    )]
    #[case::client(
        401,
        r#"{"error": "invalid_client"}"#,
        RefusalClass::ClientBlocked,
        CauseKind::InvalidClient
    )]
    #[case::client_in_a_success(
        200,
        r#"{"error": "invalid_client"}"#,
        RefusalClass::ClientBlocked,
        CauseKind::InvalidClient
    )]
    #[case::no_word(401, "", RefusalClass::ClientFault, CauseKind::UnauthorizedClient)]
    #[case::firewall(403, "<h1>no</h1>", RefusalClass::Other, CauseKind::OtherStatus)]
    #[case::absent(404, "", RefusalClass::ClientFault, CauseKind::OtherStatus)]
    #[case::other_status_of_the_word(
        403,
        r#"{"error": "unsupported_token_type"}"#,
        RefusalClass::ClientFault,
        CauseKind::InvalidRequest
    )]
    #[case::unknown_token(
        400,
        r#"{"error": "invalid_token"}"#,
        RefusalClass::Other,
        CauseKind::OtherStatus
    )]
    #[case::redirect(302, "", RefusalClass::Other, CauseKind::Redirect)]
    #[case::many(429, "", RefusalClass::Busy, CauseKind::RateLimited)]
    #[case::down(503, "", RefusalClass::Ambiguous, CauseKind::ServerError)]
    #[case::broken(500, "<html>", RefusalClass::Ambiguous, CauseKind::ServerError)]
    fn what_confirms_nothing(
        #[case] status: u16,
        #[case] body: &str,
        #[case] class: RefusalClass,
        #[case] kind: CauseKind,
    ) {
        let refusal = read(status, None, body.as_bytes()).expect_err("nothing was confirmed");
        assert_eq!((refusal.class, refusal.cause.kind), (class, kind));
    }

    /// RFC 7009 §2.2.1: the token still exists, and the client may try again.
    #[test]
    fn a_provider_that_is_busy_says_when_to_come_back() {
        let refusal = read(503, Some("7"), b"").expect_err("busy");
        assert_eq!((refusal.class, refusal.retry_after), (RefusalClass::Busy, Some(7)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_only_two_statuses_confirm(status: u16, body: Vec<u8>) {
            let read = read(status, None, &body);
            if read == Ok(Revocation::Confirmed) {
                prop_assert!([200, 204].contains(&status));
            }
        }
    }
}
