//! A grant: a user's permission to get new access tokens with a refresh token.
//!
//! Invariant: every state and every cause is a word of a fixed list. Neither contains a provider's words.

use std::{collections::BTreeMap, fmt};

use crate::SecretText;

/// Details of a grant besides the tokens. They are sealed with the tokens.
#[derive(Clone, Debug, Default)]
pub struct GrantDetails {
    /// The granted scopes, as the provider wrote them (RFC 6749 §3.3).
    pub scope: Option<SecretText>,
    /// `sub` of the id_token: the user who gave the grant (OpenID Connect Core §2).
    pub subject: Option<SecretText>,
    /// The values of the parameters in the provider's URLs, by name.
    pub parameters: BTreeMap<String, String>,
}

impl GrantDetails {
    /// Returns whether there are no details.
    pub fn is_empty(&self) -> bool {
        self.scope.is_none() && self.subject.is_none() && self.parameters.is_empty()
    }
}

/// The state of a record's grant in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantState {
    /// No refresh was tried yet. Only opening the record shows whether there is a grant.
    #[default]
    Unknown,
    /// The last refresh succeeded.
    Live,
    /// The last refresh failed, and a later one may succeed.
    Failing,
    /// The provider ended the grant: the user has to connect again.
    Dead,
}

impl GrantState {
    const ALL: [Self; 4] = [Self::Unknown, Self::Live, Self::Failing, Self::Dead];

    /// Returns the name as the database stores it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "none",
            Self::Live => "live",
            Self::Failing => "failing",
            Self::Dead => "dead",
        }
    }

    /// Returns the state of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// The kind of cause for a grant that was not refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CauseKind {
    /// The provider rejects the refresh token (RFC 6749 §5.2).
    InvalidGrant,
    /// The answer to an earlier request was lost, and the refresh token of that request is spent.
    LostAnswer,
    /// The provider needs an action of the user, such as another authentication.
    Interaction,
    /// The grant was given to another client than the configured one.
    OtherClient,
    /// The provider rejects the client's id, secret or certificate.
    InvalidClient,
    /// The client is not allowed to refresh.
    UnauthorizedClient,
    /// The provider rejects the requested scopes.
    InvalidScope,
    /// The provider does not understand the request.
    InvalidRequest,
    /// The provider's rate limit was exceeded.
    RateLimited,
    /// The provider answered with a status of 500 to 599 (RFC 9110 §15.6).
    ServerError,
    /// The provider answered with another status that is no verdict, such as a firewall's 403.
    OtherStatus,
    /// The provider answered with a redirect, which is not followed.
    Redirect,
    /// The provider could not be reached.
    Network,
    /// The TLS handshake with the provider failed.
    Tls,
    /// The provider did not answer in time.
    Timeout,
    /// The answer was cut off or unreadable.
    Unreadable,
    /// The answer was longer than the limit.
    TooLarge,
}

impl CauseKind {
    /// All kinds.
    pub const ALL: [Self; 17] = [
        Self::InvalidGrant,
        Self::LostAnswer,
        Self::Interaction,
        Self::OtherClient,
        Self::InvalidClient,
        Self::UnauthorizedClient,
        Self::InvalidScope,
        Self::InvalidRequest,
        Self::RateLimited,
        Self::ServerError,
        Self::OtherStatus,
        Self::Redirect,
        Self::Network,
        Self::Tls,
        Self::Timeout,
        Self::Unreadable,
        Self::TooLarge,
    ];

    /// Returns the name as it is stored, logged and answered.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidGrant => "invalid_grant",
            Self::LostAnswer => "lost_answer",
            Self::Interaction => "interaction",
            Self::OtherClient => "other_client",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidRequest => "invalid_request",
            Self::RateLimited => "rate_limited",
            Self::ServerError => "http_5xx",
            Self::OtherStatus => "http_other",
            Self::Redirect => "redirect",
            Self::Network => "network",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too_large",
        }
    }
}

/// The cause of a failed refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GrantCause {
    /// The kind of cause.
    pub kind: CauseKind,
    /// The provider's own error number, such as Microsoft's 50173, if it has one.
    pub number: Option<u32>,
}

impl GrantCause {
    /// Parses a cause as `Display` writes it.
    pub fn of_name(name: &str) -> Option<Self> {
        let (kind, number) = match name.split_once(':') {
            Some((kind, number)) => (kind, Some(number.parse().ok()?)),
            None => (name, None),
        };
        let kind = CauseKind::ALL.into_iter().find(|known| known.name() == kind)?;
        Some(Self { kind, number })
    }
}

impl From<CauseKind> for GrantCause {
    fn from(kind: CauseKind) -> Self {
        Self { kind, number: None }
    }
}

impl fmt::Display for GrantCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.number {
            Some(number) => write!(f, ":{number}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for state in GrantState::ALL {
            assert_eq!(GrantState::of_name(state.name()), Some(state));
        }
        for kind in CauseKind::ALL {
            for number in [None, Some(50173)] {
                let cause = GrantCause { kind, number };
                assert_eq!(GrantCause::of_name(&cause.to_string()), Some(cause));
            }
        }
        for other in ["", "Live", "invalid_grant:", "invalid_grant:x", "invalid_grant:1:2"] {
            assert_eq!(GrantCause::of_name(other), None, "{other}");
            assert_eq!(GrantState::of_name(other), None, "{other}");
        }
    }
}
