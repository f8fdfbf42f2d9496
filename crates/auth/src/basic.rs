//! The Basic scheme (RFC 7617), also as OAuth clients encode it (RFC 6749 §2.3.1).
//!
//! Invariant: a `BasicCredentials` is from base64 of text without control characters.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::Login;
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use crate::{AuthError, MalformedCredentials, Password};

const TICKET_PREFIX: &str = "7T:";

/// A login and a password from a client, not verified.
#[derive(Debug)]
pub struct BasicCredentials {
    /// The login.
    pub login: Login,
    /// The password.
    pub password: Password,
}

/// How a client encodes user name and password before it joins them with a colon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BasicEncoding {
    /// Not encoded (RFC 7617).
    #[default]
    Plain,
    /// Each is encoded as a value of a form (RFC 6749 §2.3.1).
    Form,
}

/// The credential of a Basic header.
#[derive(Debug)]
pub(crate) enum Basic {
    /// A user name and a password.
    Password(BasicCredentials),
    /// A ticket in the place of the user name, with an empty password.
    Ticket(Zeroizing<String>),
}

/// Reads the text after the scheme's name: base64, split at the first colon. Each part is UTF-8, or otherwise
/// ISO-8859-1.
///
/// A ticket may be in the place of the user name, `7T:…` with an empty password. It contains a colon, so it is
/// recognized before the split. If the client encodes that colon, the ticket is recognized after the split.
///
/// # Errors
/// - `Malformed`: RFC 7617 does not allow the text.
/// - `Refused`: no user can have this name.
pub(crate) fn parse(encoded: &str, encoding: BasicEncoding) -> Result<Basic, AuthError> {
    let decoded = STANDARD
        .decode(encoded)
        .map(Zeroizing::new)
        .map_err(|_no_base64| AuthError::Malformed(MalformedCredentials::NotBase64))?;
    if let Some(ticket) = str::from_utf8(&decoded).ok().and_then(ticket) {
        return of_ticket(ticket);
    }
    let mut parts = decoded.splitn(2, |byte| *byte == b':');
    let (login, password) = (parts.next().unwrap_or_default(), parts.next());
    match encoding {
        BasicEncoding::Plain => of_parts(login, password),
        BasicEncoding::Form => {
            let (login, password) = (of_form(login), password.map(of_form));
            of_parts(&login, password.as_ref().map(|password| password.as_slice()))
        }
    }
}

fn of_parts(login: &[u8], password: Option<&[u8]>) -> Result<Basic, AuthError> {
    let (login, password) = (text(login), password.map(text));
    let has_control = |part: &str| part.contains(char::is_control);
    if has_control(&login) || password.as_deref().is_some_and(has_control) {
        return Err(AuthError::Malformed(MalformedCredentials::ControlCharacter));
    }
    let password = password.ok_or(AuthError::Malformed(MalformedCredentials::NoColon))?;
    if login.starts_with(TICKET_PREFIX) && password.is_empty() {
        return of_ticket(&login);
    }
    let login = Login::parse(&login).map_err(|_no_user| AuthError::Refused)?;
    Ok(Basic::Password(BasicCredentials { login, password: (&*password).into() }))
}

fn of_ticket(ticket: &str) -> Result<Basic, AuthError> {
    if ticket.contains(char::is_control) {
        return Err(AuthError::Malformed(MalformedCredentials::ControlCharacter));
    }
    Ok(Basic::Ticket(Zeroizing::new(ticket.to_owned())))
}

/// Decodes a value of a form.
fn of_form(encoded: &[u8]) -> Zeroizing<Vec<u8>> {
    let spaced = encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte });
    let spaced = Zeroizing::new(spaced.collect::<Vec<u8>>());
    Zeroizing::new(percent_decode(&spaced).collect())
}

/// Decodes UTF-8, which the challenge asks for, or else ISO-8859-1, which some clients send.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_latin) => bytes.iter().copied().map(char::from).collect(),
    }
}

/// The ticket, if the text is a ticket and an empty password.
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
        super::parse(encoded, BasicEncoding::Plain).map(shown)
    }

    fn shown(basic: Basic) -> (String, String) {
        match basic {
            Basic::Password(basic) => (basic.login.to_string(), basic.password.expose().to_owned()),
            Basic::Ticket(ticket) => (ticket.to_string(), "(ticket)".to_owned()),
        }
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

    /// CONTRACT 26: each part has its own charset, as `requests` of Python and old browsers send them.
    #[rstest]
    #[case(b"bj\xf8rn:Bl\xe5b\xe6r1", "bjørn", "Blåbær1")]
    #[case(b"bj\xf8rn:Bl\xc3\xa5b\xc3\xa6r1", "bjørn", "Blåbær1")]
    #[case(b"bj\xc3\xb8rn:Bl\xe5b\xe6r1:\xe5", "bjørn", "Blåbær1:å")]
    fn what_is_not_utf_8_is_read_as_iso_8859_1(
        #[case] bytes: &[u8],
        #[case] login: &str,
        #[case] password: &str,
    ) {
        assert_eq!(parse(&encode(bytes)), Ok((login.to_owned(), password.to_owned())));
    }

    /// CONTRACT 62: each part is decoded once after the split, as npm's `oauth4webapi` encodes it; one that is not encoded
    /// is what it is, but for `+` and `%`.
    #[rstest]
    #[case("tje0:Tje0", "tje0", "Tje0")]
    #[case("a%26b:p%2Bq%25+r%3a", "a&b", "p+q% r:")]
    #[case("%C3%85se:bl%C3%A5b%C3%A6r%C2%A3", "Åse", "blåbær£")]
    #[case("Åse:a:b %zz%", "Åse", "a:b %zz%")]
    #[case("tje0:%2525", "tje0", "%25")]
    #[case("7T%3AYQBi%2BA%3D%3D:", "7T:YQBi+A==", "(ticket)")]
    #[case("7T:YQBi+A==:", "7T:YQBi+A==", "(ticket)")]
    fn oauth_clients_encode_each_part(
        #[case] text: &str,
        #[case] login: &str,
        #[case] password: &str,
    ) {
        let parsed = super::parse(&encode(text), BasicEncoding::Form).map(shown);
        assert_eq!(parsed, Ok((login.to_owned(), password.to_owned())));
    }

    #[rstest]
    #[case("a:b%0Ac", AuthError::Malformed(MalformedCredentials::ControlCharacter))]
    #[case("7T%3Aa%0A:", AuthError::Malformed(MalformedCredentials::ControlCharacter))]
    #[case("tje0%3ATje0", AuthError::Malformed(MalformedCredentials::NoColon))]
    #[case("7T%3Ax:password", AuthError::Refused)]
    #[case("a%3Ab:password", AuthError::Refused)]
    fn what_is_encoded_does_not_get_past_the_checks(#[case] text: &str, #[case] error: AuthError) {
        let parsed = super::parse(&encode(text), BasicEncoding::Form).map(shown);
        assert_eq!(parsed, Err(error));
    }

    #[rstest]
    #[case("", AuthError::Malformed(MalformedCredentials::NoColon))]
    #[case("%%%", AuthError::Malformed(MalformedCredentials::NotBase64))]
    #[case("dGplMDpUamUw dGplMDpUamUw", AuthError::Malformed(MalformedCredentials::NotBase64))]
    #[case(&encode("no colon"), AuthError::Malformed(MalformedCredentials::NoColon))]
    #[case(&encode([0x80, b':', b'x']), AuthError::Malformed(MalformedCredentials::ControlCharacter))]
    #[case(&encode("7T:a\nb:"), AuthError::Malformed(MalformedCredentials::ControlCharacter))]
    #[case(&encode("a:b\nc"), AuthError::Malformed(MalformedCredentials::ControlCharacter))]
    #[case(&encode(":password"), AuthError::Refused)]
    fn what_rfc_7617_does_not_allow_is_refused(#[case] raw: &str, #[case] error: AuthError) {
        assert_eq!(parse(raw), Err(error));
    }
}
