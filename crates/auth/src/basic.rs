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

/// What the scheme Basic can carry.
#[derive(Debug)]
pub(crate) enum Basic {
    /// A user name and a password.
    Password(BasicCredentials),
    /// A ticket where the user name is, with an empty password.
    Ticket(Zeroizing<String>),
}

/// Reads what follows the scheme's name (CONTRACT 26): base64 of UTF-8, split at the first colon.
///
/// A ticket may stand where a user name does, `7T:…` with an empty password. It has a colon of its own,
/// so it is told apart before the split.
///
/// # Errors
/// `Malformed` for what RFC 7617 does not allow, `Refused` for a name that no user can have.
pub(crate) fn parse(encoded: &str) -> Result<Basic, AuthError> {
    let decoded = STANDARD
        .decode(encoded)
        .map(Zeroizing::new)
        .map_err(|_no_base64| AuthError::Malformed(MalformedCredentials::NotBase64))?;
    let text = str::from_utf8(&decoded)
        .map_err(|_not_utf8| AuthError::Malformed(MalformedCredentials::NotUtf8))?;
    if text.contains(char::is_control) {
        return Err(AuthError::Malformed(MalformedCredentials::ControlCharacter));
    }
    if let Some(ticket) = ticket(text) {
        return Ok(Basic::Ticket(Zeroizing::new(ticket.to_owned())));
    }
    let (login, password) =
        text.split_once(':').ok_or(AuthError::Malformed(MalformedCredentials::NoColon))?;
    let login = Login::parse(login).map_err(|_no_user| AuthError::Refused)?;
    Ok(Basic::Password(BasicCredentials { login, password: password.into() }))
}

/// The ticket, if the text is one with an empty password after it.
fn ticket(text: &str) -> Option<&str> {
    let ticket = text.strip_suffix(':')?;
    let rest = ticket.strip_prefix(TICKET_PREFIX)?;
    (!rest.is_empty() && !rest.contains(':')).then_some(ticket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn parse(encoded: &str) -> Result<(String, String), AuthError> {
        super::parse(encoded).map(|basic| match basic {
            Basic::Password(basic) => (basic.login.to_string(), basic.password.expose().to_owned()),
            Basic::Ticket(ticket) => (ticket.to_string(), "(ticket)".to_owned()),
        })
    }

    fn encode(text: impl AsRef<[u8]>) -> String {
        STANDARD.encode(text)
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
        assert_eq!(parse(&encode(text)), Ok((login.to_owned(), password.to_owned())));
    }

    /// CONTRACT 2, 26: the documented sample, and RFC 7617's own.
    #[rstest]
    #[case("dGplMDpUamUw", "tje0", "Tje0")]
    #[case("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame")]
    #[case("dGVzdDoxMjPCow==", "test", "123£")]
    fn the_samples_are_read(#[case] raw: &str, #[case] login: &str, #[case] password: &str) {
        assert_eq!(parse(raw), Ok((login.to_owned(), password.to_owned())));
    }

    /// CONTRACT 26: the first colon alone does not decide, so a ticket is not taken for user `7T`.
    #[test]
    fn a_ticket_in_place_of_a_user_name_is_not_split() {
        let ticket = ("7T:YQBiAGMA".to_owned(), "(ticket)".to_owned());
        assert_eq!(parse(&encode("7T:YQBiAGMA:")), Ok(ticket));
    }

    #[rstest]
    #[case("", AuthError::Malformed(MalformedCredentials::NoColon))]
    #[case("%%%", AuthError::Malformed(MalformedCredentials::NotBase64))]
    #[case("dGplMDpUamUw dGplMDpUamUw", AuthError::Malformed(MalformedCredentials::NotBase64))]
    #[case(&encode("no colon"), AuthError::Malformed(MalformedCredentials::NoColon))]
    #[case(&encode([0xff, b':', b'x']), AuthError::Malformed(MalformedCredentials::NotUtf8))]
    #[case(&encode("a:b\nc"), AuthError::Malformed(MalformedCredentials::ControlCharacter))]
    #[case(&encode(":password"), AuthError::Refused)]
    fn what_rfc_7617_does_not_allow_is_refused(#[case] raw: &str, #[case] error: AuthError) {
        assert_eq!(parse(raw), Err(error));
    }
}
