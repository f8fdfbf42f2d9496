//! What receivers of webhooks can be sent.
//!
//! Invariant: a kind keeps its name, because receivers compare it.

/// What happened to a grant, or to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The provider ended a grant: the user has to connect again.
    GrantDead,
    /// Refreshes of a grant have failed for a while.
    GrantFailing,
    /// A grant that was reported as failing or dead works again.
    GrantRecovered,
    /// A refresh token ends soon unless it is used.
    GrantExpiring,
    /// Somebody ended a record.
    GrantRevoked,
    /// No request is sent to a provider for a while, for any record.
    ProviderBlocked,
    /// Requests are sent to a provider again.
    ProviderRecovered,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::GrantDead,
        Self::GrantFailing,
        Self::GrantRecovered,
        Self::GrantExpiring,
        Self::GrantRevoked,
        Self::ProviderBlocked,
        Self::ProviderRecovered,
    ];

    /// The name as it is configured, stored and sent.
    pub fn name(self) -> &'static str {
        match self {
            Self::GrantDead => "grant.dead",
            Self::GrantFailing => "grant.failing",
            Self::GrantRecovered => "grant.recovered",
            Self::GrantExpiring => "grant.expiring",
            Self::GrantRevoked => "grant.revoked",
            Self::ProviderBlocked => "provider.blocked",
            Self::ProviderRecovered => "provider.recovered",
        }
    }

    /// The kind of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
