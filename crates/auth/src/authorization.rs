//! The `Authorization` header: its scheme and its credential.
//!
//! Invariant: the credential of a scheme that is off is not parsed. Each credential is parsed in one way only.

use model::{CredentialKind, SecretText};

use crate::{
    AuthError, BasicCredentials, BasicEncoding, MalformedCredentials, Policy, Presented, Scheme,
    basic::{self, Basic},
};

/// A credential of an enabled scheme.
#[derive(Debug)]
pub enum Authorization {
    /// A user name and a password.
    Password(BasicCredentials),
    /// A ticket or an access token of this server.
    Issued(Presented),
    /// A bearer token that is not of this server and should be a JWT.
    Jwt(SecretText),
}

impl Authorization {
    /// Reads the header's value (RFC 9110 §11.6.2). A ticket may be in the place of a user name.
    ///
    /// # Errors
    /// - `UnsupportedScheme`: the scheme is unknown or off.
    /// - `TwoCredentials`: the header is a list.
    /// - `Malformed`, `Refused`, `InvalidTicket`, `InvalidToken`: the credential is invalid.
    pub fn parse(
        header: &[u8],
        encoding: BasicEncoding,
        policy: &Policy,
    ) -> Result<Self, AuthError> {
        let header = str::from_utf8(header)
            .map_err(|_not_text| AuthError::Malformed(MalformedCredentials::NotText))?
            .trim();
        let (scheme, credentials) = header.split_once(' ').unwrap_or((header, ""));
        let credentials = credentials.trim_start();
        let scheme = Scheme::of_header(scheme).ok_or(AuthError::UnsupportedScheme)?;
        // No credential of these schemes has a comma. A proxy that joins headers adds one.
        if credentials.contains(',') {
            return Err(AuthError::TwoCredentials);
        }
        if !policy.is_on(scheme) {
            return Err(AuthError::UnsupportedScheme);
        }
        match scheme {
            Scheme::Basic => match basic::parse(credentials, encoding)? {
                Basic::Password(login) => Ok(Self::Password(login)),
                Basic::Ticket(_) if !policy.is_on(Scheme::SoTicket) => {
                    Err(AuthError::UnsupportedScheme)
                }
                Basic::Ticket(ticket) => Ok(Self::Issued(Presented::parse_ticket(&ticket)?)),
            },
            Scheme::SoTicket => Ok(Self::Issued(Presented::parse_ticket(credentials)?)),
            Scheme::Bearer => match Presented::parse_access_token(credentials) {
                Some(token) => Ok(Self::Issued(token?)),
                None => Ok(Self::Jwt(credentials.into())),
            },
            Scheme::Session => Err(AuthError::UnsupportedScheme),
        }
    }

    /// The scheme of the credential. For a ticket in a Basic header it is that of tickets.
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::Password(_) => Scheme::Basic,
            Self::Jwt(_) => Scheme::Bearer,
            Self::Issued(presented) => match presented.kind() {
                CredentialKind::Ticket => Scheme::SoTicket,
                CredentialKind::AccessToken => Scheme::Bearer,
                CredentialKind::Session => Scheme::Session,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Installation, Switches};
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;
    use rstest::rstest;

    fn all_on() -> Policy {
        Policy::new(Installation::Onsite, Switches::default())
    }

    fn parse(header: &str) -> Result<Scheme, AuthError> {
        let plain = BasicEncoding::Plain;
        Authorization::parse(header.as_bytes(), plain, &all_on()).map(|read| read.scheme())
    }

    fn ticket() -> String {
        Presented::generate(CredentialKind::Ticket, None).text().expose().to_owned()
    }

    /// CONTRACT 25, 26, 27, 28: names of schemes in any case; a ticket also as a user name.
    #[test]
    fn each_scheme_is_told_by_its_name() {
        let basic = |text: &str| format!("bASIC {}", STANDARD.encode(text));
        assert_eq!(parse(&basic("tje0:Tje0")), Ok(Scheme::Basic));
        assert_eq!(parse(&basic(&format!("{}:", ticket()))), Ok(Scheme::SoTicket));
        assert_eq!(parse(&basic("7T:YQBiAGMA:")), Err(AuthError::InvalidTicket));
        assert_eq!(parse(&format!("SOTICKET {}", ticket())), Ok(Scheme::SoTicket));
        assert_eq!(parse(&format!("soticket  {} ", ticket())), Ok(Scheme::SoTicket));
        assert_eq!(parse("bearer a.b.c"), Ok(Scheme::Bearer));
        let token = format!("8A:default.{}", "0".repeat(64));
        assert_eq!(parse(&format!("Bearer {token}")), Ok(Scheme::Bearer));
    }

    proptest! {
        /// Any header is parsed or rejected without a panic.
        #[test]
        fn no_header_is_too_odd(
            scheme in "Basic|SoTicket|Bearer|[ -~]{0,8}",
            prefix in "7T:|8A:|8A:default\\.|",
            rest in prop::collection::vec(any::<u8>(), 0..200),
            is_encoded: bool,
        ) {
            let header = if is_encoded {
                format!("{scheme} {prefix}{}", STANDARD.encode(&rest)).into_bytes()
            } else {
                [scheme.as_bytes(), b" ", prefix.as_bytes(), &rest].concat()
            };
            for encoding in [BasicEncoding::Plain, BasicEncoding::Form] {
                let _ = Authorization::parse(&header, encoding, &all_on());
            }
            let _ = Presented::parse_session(&String::from_utf8_lossy(&rest));
        }
    }

    /// CONTRACT 25: rejects a scheme that is off or unknown, and more than one.
    #[rstest]
    #[case("", AuthError::UnsupportedScheme)]
    #[case("Session abc", AuthError::UnsupportedScheme)]
    #[case("Digest username=x", AuthError::UnsupportedScheme)]
    #[case("Basically dGplMDpUamUw", AuthError::UnsupportedScheme)]
    #[case("Basic dGplMDpUamUw, Bearer abc", AuthError::TwoCredentials)]
    #[case("Bearer a,b", AuthError::TwoCredentials)]
    #[case("SoTicket", AuthError::InvalidTicket)]
    #[case("SoTicket 8A:default.00", AuthError::InvalidTicket)]
    #[case("Bearer 8A:default.00", AuthError::InvalidToken)]
    #[case("Bearer 8A:", AuthError::InvalidToken)]
    fn what_cannot_be_read_is_refused(#[case] header: &str, #[case] error: AuthError) {
        assert_eq!(parse(header), Err(error));
    }

    /// CONTRACT 25: a scheme that is off is not looked into, and a ticket as a user name needs both.
    #[test]
    fn what_is_off_is_refused() {
        let off = |switches| Policy::new(Installation::Onsite, switches);
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:", ticket())));
        for (header, switches) in [
            ("Basic ???", Switches { basic: Some(false), ..Switches::default() }),
            (basic.as_str(), Switches { basic: Some(false), ..Switches::default() }),
            (basic.as_str(), Switches { so_ticket: Some(false), ..Switches::default() }),
            ("SoTicket ???", Switches { so_ticket: Some(false), ..Switches::default() }),
            ("Bearer 8A:", Switches { bearer: Some(false), ..Switches::default() }),
        ] {
            let plain = BasicEncoding::Plain;
            let refused = Authorization::parse(header.as_bytes(), plain, &off(switches));
            assert!(matches!(refused, Err(AuthError::UnsupportedScheme)), "{header}");
        }
    }
}
