//! The schemes that an installation accepts.
//!
//! Invariant: a scheme that the policy does not enable is rejected.

/// The kind of installation, which decides the default of each scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Installation {
    /// Self-hosted, for one customer.
    Onsite,
    /// Hosted, multi-tenant.
    Online,
}

/// An authentication scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// User name and password (RFC 7617).
    Basic,
    /// A ticket of this server.
    SoTicket,
    /// A JWT of a trusted issuer or an access token of this server (RFC 6750).
    Bearer,
    /// A browser's session cookie together with `X-XSRF-TOKEN`.
    Session,
}

impl Scheme {
    /// All schemes, in the order of the challenges.
    pub const ALL: [Self; 4] = [Self::Basic, Self::SoTicket, Self::Bearer, Self::Session];

    /// The name in `Authorization` and in challenges.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "Basic",
            Self::SoTicket => "SoTicket",
            Self::Bearer => "Bearer",
            Self::Session => "Session",
        }
    }

    /// The scheme with this name in `Authorization`, in any case. Sessions have none.
    pub(crate) fn of_header(name: &str) -> Option<Self> {
        let named = |scheme: &Self| scheme.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().filter(|scheme| *scheme != Self::Session).find(named)
    }
}

/// Schemes that are enabled or disabled explicitly; `None` for the default of the installation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switches {
    /// Basic.
    pub basic: Option<bool>,
    /// SoTicket.
    pub so_ticket: Option<bool>,
    /// Bearer.
    pub bearer: Option<bool>,
    /// Session.
    pub session: Option<bool>,
}

/// The enabled schemes.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    installation: Installation,
    switches: Switches,
}

impl Policy {
    /// A policy of the installation's defaults and the explicit switches.
    pub fn new(installation: Installation, switches: Switches) -> Self {
        Self { installation, switches }
    }

    /// Whether a scheme is accepted.
    pub fn is_on(&self, scheme: Scheme) -> bool {
        let online = self.installation == Installation::Online;
        match scheme {
            Scheme::Basic => self.switches.basic.unwrap_or(!online),
            Scheme::SoTicket => self.switches.so_ticket.unwrap_or(true),
            Scheme::Bearer => self.switches.bearer.unwrap_or(true),
            Scheme::Session => self.switches.session.unwrap_or(true),
        }
    }

    /// The enabled schemes, in the order of the challenges.
    pub fn schemes(&self) -> impl Iterator<Item = Scheme> {
        Scheme::ALL.into_iter().filter(|scheme| self.is_on(*scheme))
    }

    /// Whether a caller of this scheme needs an application token.
    pub fn needs_application(&self, scheme: Scheme) -> bool {
        self.is_online() && scheme == Scheme::SoTicket
    }

    /// Whether the installation is hosted and multi-tenant.
    pub fn is_online(&self) -> bool {
        self.installation == Installation::Online
    }

    /// The challenges for `WWW-Authenticate`, one for each scheme (RFC 9110 §11.6.1, RFC 7617 §2.1). After a rejected
    /// bearer token its challenge has `error="invalid_token"` (RFC 6750 §3.1).
    pub fn challenges(
        &self,
        bearer_was_refused: bool,
    ) -> impl Iterator<Item = (Scheme, &'static str)> {
        let challenge = move |scheme| match scheme {
            Scheme::Basic => r#"Basic realm="Latchkey", charset="UTF-8""#,
            Scheme::SoTicket => r#"SoTicket realm="Latchkey""#,
            Scheme::Bearer if bearer_was_refused => {
                r#"Bearer realm="Latchkey", error="invalid_token""#
            }
            Scheme::Bearer => r#"Bearer realm="Latchkey""#,
            Scheme::Session => r#"Session realm="Latchkey""#,
        };
        self.schemes().map(move |scheme| (scheme, challenge(scheme)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// CONTRACT 25: the table of the installation types.
    #[rstest]
    #[case(Installation::Onsite, &["Basic", "SoTicket", "Bearer", "Session"])]
    #[case(Installation::Online, &["SoTicket", "Bearer", "Session"])]
    fn the_installation_decides_what_is_on(
        #[case] installation: Installation,
        #[case] expected: &[&str],
    ) {
        let policy = Policy::new(installation, Switches::default());
        let on: Vec<&str> = policy.schemes().map(Scheme::name).collect();
        assert_eq!(on, expected);
    }

    /// CONTRACT 25: each scheme can be switched, and the challenges follow.
    #[test]
    fn each_scheme_has_a_switch() {
        for (installation, is_on) in [
            (Installation::Onsite, true),
            (Installation::Online, true),
            (Installation::Onsite, false),
        ] {
            for scheme in Scheme::ALL {
                let mut switches = Switches::default();
                let switch = match scheme {
                    Scheme::Basic => &mut switches.basic,
                    Scheme::SoTicket => &mut switches.so_ticket,
                    Scheme::Bearer => &mut switches.bearer,
                    Scheme::Session => &mut switches.session,
                };
                *switch = Some(is_on);
                let policy = Policy::new(installation, switches);
                assert_eq!(policy.is_on(scheme), is_on, "{scheme:?}");
                let begins = format!("{} realm=", scheme.name());
                let is_offered = policy.challenges(false).any(|(offered, challenge)| {
                    offered == scheme && challenge.starts_with(&begins)
                });
                assert_eq!(is_offered, is_on, "{scheme:?}");
            }
        }
    }

    /// CONTRACT 25, 30.
    #[test]
    fn only_online_and_only_a_ticket_needs_an_application() {
        for installation in [Installation::Onsite, Installation::Online] {
            let policy = Policy::new(installation, Switches::default());
            for scheme in Scheme::ALL {
                let expected = installation == Installation::Online && scheme == Scheme::SoTicket;
                assert_eq!(policy.needs_application(scheme), expected, "{scheme:?}");
            }
        }
        assert_eq!(Scheme::of_header("SOTICKET"), Some(Scheme::SoTicket));
        assert_eq!(Scheme::of_header("session"), None);
    }
}
