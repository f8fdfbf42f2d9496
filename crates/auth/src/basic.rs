//! The Basic scheme of RFC 7617.
//!
//! Invariant: a `BasicCredentials` came from base64 of UTF-8 without control characters.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::Login;
use zeroize::Zeroizing;

use crate::{AuthError, MalformedCredentials, Password};

const TICKET_PREFIX: &str = "7T:";

/// A login and a password as the client claims them.
#[derive(Debug)]
pub struct BasicCredentials {
    /// Who the caller says it is.
    pub login: Login,
    /// What the caller offers as proof.
    pub password: Password,
}

impl BasicCredentials {
    /// Reads the value of an `Authorization` header (CONTRACT 26): scheme in any case, base64, UTF-8,
    /// split at the first colon.
    ///
    /// A ticket may stand where a user name does, `7T:…` with an empty password. It has a colon of
    /// its own, so it is told apart before the split; no ticket is valid yet, so it is refused.
    ///
    /// # Errors
    /// `UnsupportedScheme` for another scheme, `Malformed` for what RFC 7617 does not allow,
    /// `Refused` for a name that no user can have, `InvalidTicket` for a ticket.
    pub fn parse(header: &[u8]) -> Result<Self, AuthError> {
        let header = str::from_utf8(header)
            .map_err(|_not_text| AuthError::Malformed(MalformedCredentials::NotText))?;
        let (scheme, encoded) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if !scheme.eq_ignore_ascii_case("Basic") {
            return Err(AuthError::UnsupportedScheme);
        }
        let decoded = STANDARD
            .decode(encoded.trim_start())
            .map(Zeroizing::new)
            .map_err(|_no_base64| AuthError::Malformed(MalformedCredentials::NotBase64))?;
        let text = str::from_utf8(&decoded)
            .map_err(|_not_utf8| AuthError::Malformed(MalformedCredentials::NotUtf8))?;
        if text.contains(char::is_control) {
            return Err(AuthError::Malformed(MalformedCredentials::ControlCharacter));
        }
        if is_ticket(text) {
            return Err(AuthError::InvalidTicket);
        }
        let (login, password) =
            text.split_once(':').ok_or(AuthError::Malformed(MalformedCredentials::NoColon))?;
        let login = Login::parse(login).map_err(|_no_user| AuthError::Refused)?;
        Ok(Self { login, password: password.into() })
    }
}

/// Whether the text is a ticket with an empty password after it.
fn is_ticket(text: &str) -> bool {
    text.strip_prefix(TICKET_PREFIX)
        .and_then(|rest| rest.strip_suffix(':'))
        .is_some_and(|ticket| !ticket.is_empty() && !ticket.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn parse(header: &str) -> Result<(String, String), AuthError> {
        BasicCredentials::parse(header.as_bytes())
            .map(|basic| (basic.login.to_string(), basic.password.expose().to_owned()))
    }

    fn header(text: impl AsRef<[u8]>) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    /// CONTRACT 26.
    #[rstest]
    #[case("tje0:Tje0", "tje0", "Tje0")]
    #[case("tje0:", "tje0", "")]
    #[case("tje0:a:b:c", "tje0", "a:b:c")]
    #[case("Åse:blåbær£", "Åse", "blåbær£")]
    #[case("7T:secret", "7T", "secret")]
    #[case("7T:a:b:", "7T", "a:b:")]
    fn credentials_are_split_at_the_first_colon(
        #[case] text: &str,
        #[case] login: &str,
        #[case] password: &str,
    ) {
        assert_eq!(parse(&header(text)), Ok((login.to_owned(), password.to_owned())));
    }

    /// CONTRACT 2, 26: the documented sample, and RFC 7617's own.
    #[rstest]
    #[case("Basic dGplMDpUamUw", "tje0", "Tje0")]
    #[case("bAsIc   dGplMDpUamUw ", "tje0", "Tje0")]
    #[case("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame")]
    #[case("Basic dGVzdDoxMjPCow==", "test", "123£")]
    fn the_samples_are_read(#[case] raw: &str, #[case] login: &str, #[case] password: &str) {
        assert_eq!(parse(raw), Ok((login.to_owned(), password.to_owned())));
    }

    /// CONTRACT 26: the first colon alone does not decide, so a ticket is not taken for user `7T`.
    #[test]
    fn a_ticket_in_place_of_a_user_name_is_not_split() {
        assert_eq!(parse(&header("7T:YQBiAGMA:")), Err(AuthError::InvalidTicket));
    }

    #[rstest]
    #[case("Bearer abc", AuthError::UnsupportedScheme)]
    #[case("Basically dGplMDpUamUw", AuthError::UnsupportedScheme)]
    #[case("", AuthError::UnsupportedScheme)]
    #[case("Basic", AuthError::Malformed(MalformedCredentials::NoColon))]
    #[case("Basic %%%", AuthError::Malformed(MalformedCredentials::NotBase64))]
    #[case(
        "Basic dGplMDpUamUw dGplMDpUamUw",
        AuthError::Malformed(MalformedCredentials::NotBase64)
    )]
    #[case(&header("no colon"), AuthError::Malformed(MalformedCredentials::NoColon))]
    #[case(&header([0xff, b':', b'x']), AuthError::Malformed(MalformedCredentials::NotUtf8))]
    #[case(&header("a:b\nc"), AuthError::Malformed(MalformedCredentials::ControlCharacter))]
    #[case(&header(":password"), AuthError::Refused)]
    fn what_rfc_7617_does_not_allow_is_refused(#[case] raw: &str, #[case] error: AuthError) {
        assert_eq!(parse(raw), Err(error));
    }
}
