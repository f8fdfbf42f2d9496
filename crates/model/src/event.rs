//! Events for receivers of webhooks.
//!
//! Invariant: the name of a kind never changes, because receivers compare it.

/// The kind of an event about a grant or a provider.
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
    /// A caller or an operator ended a record.
    GrantRevoked,
    /// Requests to a provider are paused, for all records.
    ProviderBlocked,
    /// Requests to a provider continue.
    ProviderRecovered,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::GrantDead,
        Self::GrantFailing,
        Self::GrantRecovered,
        Self::GrantExpiring,
        Self::GrantRevoked,
        Self::ProviderBlocked,
        Self::ProviderRecovered,
    ];

    /// Returns the name as it is configured, stored and sent.
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

    /// Returns the kind of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
