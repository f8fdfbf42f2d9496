//! The lifetime of credentials, and when a used one is renewed.
//!
//! Invariant: each use of a sliding credential extends it by the whole idle time, with at most one write a minute. Times
//! are microseconds since 1970-01-01 UTC, and durations are microseconds.

use model::IssuedCredential;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
/// The interval of renewals in the database. The stored expiry is later by this, so that each use extends the credential
/// by the whole idle time.
const RENEWED_EVERY: i64 = 60 * SECOND;

/// The lifetime of a credential.
#[derive(Clone, Copy, Debug)]
pub enum Lifetime {
    /// A fixed time from the issue, in microseconds.
    Fixed(i64),
    /// A time from the last use, up to `at_most` from the issue.
    Sliding {
        /// The maximum time without use, in microseconds.
        idle: i64,
        /// The maximum time from the issue, in microseconds; `None` for no maximum.
        at_most: Option<i64>,
    },
}

impl Lifetime {
    /// Tickets: 6 hours from the last use.
    pub const TICKET: Self = Self::Sliding { idle: 6 * HOUR, at_most: None };
    /// Access tokens: 1 hour.
    pub const ACCESS_TOKEN: Self = Self::Fixed(HOUR);

    /// The expiry of a credential that is used now.
    pub(crate) fn expiry(self, created: i64, now: i64) -> i64 {
        match self {
            Self::Fixed(time) => created + time,
            Self::Sliding { idle, at_most } => {
                let idle_expiry = now + idle + RENEWED_EVERY;
                at_most.map_or(idle_expiry, |time| idle_expiry.min(created + time))
            }
        }
    }

    /// The new expiry of a credential that is used now; `None` if it needs no write.
    pub fn renewal(self, credential: &IssuedCredential, now: i64) -> Option<i64> {
        let Self::Sliding { idle, .. } = self else { return None };
        let expiry = self.expiry(credential.created, now);
        (credential.expires < now + idle && expiry > credential.expires).then_some(expiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CredentialId, CredentialKind, Login, SecretDigest, TenantId};

    const NOON: i64 = 1_800_000_000 * SECOND;

    fn issued(lifetime: Lifetime) -> IssuedCredential {
        IssuedCredential {
            kind: CredentialKind::Ticket,
            id: CredentialId::parse(&"0".repeat(32)).expect("id"),
            digest: SecretDigest::new(Vec::new()),
            tenant: TenantId::single(),
            login: Login::parse("tje0").expect("login"),
            user_version: 1,
            created: NOON,
            expires: lifetime.expiry(NOON, NOON),
            parent: None,
            application: None,
        }
    }

    /// CONTRACT 27: each use is good for six hours, though at most one a minute is written.
    #[test]
    fn a_ticket_in_use_never_lapses() {
        let mut issued = issued(Lifetime::TICKET);
        let mut writes = 0;
        for second in 0..=3600 {
            let now = NOON + second * SECOND;
            if let Some(expires) = Lifetime::TICKET.renewal(&issued, now) {
                issued.expires = expires;
                writes += 1;
            }
            assert!(issued.expires >= now + 6 * HOUR, "second {second}");
            assert!(issued.expires <= now + 6 * HOUR + RENEWED_EVERY, "second {second}");
        }
        assert!((55..=60).contains(&writes), "{writes} writes an hour");
    }

    /// CONTRACT 28, 29: a session ends in the end, and an access token after an hour.
    #[test]
    fn a_session_in_use_ends_at_its_limit() {
        let lifetime = Lifetime::Sliding { idle: HOUR, at_most: Some(3 * HOUR) };
        let mut issued = issued(lifetime);
        for minute in 0..400 {
            let now = NOON + minute * 60 * SECOND;
            if now < issued.expires
                && let Some(expires) = lifetime.renewal(&issued, now)
            {
                issued.expires = expires;
            }
        }
        assert_eq!(issued.expires, NOON + 3 * HOUR);
        assert_eq!(Lifetime::ACCESS_TOKEN.renewal(&issued, NOON + HOUR), None);
    }
}
