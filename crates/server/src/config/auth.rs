//! `auth`: how callers authenticate.
//!
//! Invariant: a scheme is on only if the installation or a switch turns it on.

use std::{num::NonZeroU32, ops::RangeInclusive};

use anyhow::bail;
use auth::{Installation, Lifetime, Switches};
use model::Retrieval;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const MINUTE: i64 = 60 * 1_000_000;
/// Adding a credential reads this many rows. A client that continually asks for access tokens has eight valid ones.
const CREDENTIALS_PER_USER: RangeInclusive<u32> = 10..=10_000;

/// How callers authenticate, and who gets tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    #[serde(deserialize_with = "read_retrieval", serialize_with = "show_retrieval")]
    pub(crate) retrieval: Retrieval,
    pub(crate) credentials_per_user: u32,
    pub(crate) schemes: Schemes,
    pub(crate) bearer: Bearer,
    pub(crate) session: Session,
    pub(crate) throttle: Throttle,
}

/// Switches that override the schemes of the installation.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schemes {
    pub(crate) basic: Option<bool>,
    pub(crate) so_ticket: Option<bool>,
    pub(crate) bearer: Option<bool>,
    pub(crate) session: Option<bool>,
}

/// The issuer whose JWTs are accepted.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bearer {
    pub(crate) jwks: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) stale_hours: NonZeroU32,
}

/// How long browsers stay signed in.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Session {
    idle_minutes: u32,
    lifetime_minutes: u32,
}

/// How many wrong passwords are allowed in a minute.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Throttle {
    pub(crate) per_user: NonZeroU32,
    pub(crate) per_address: NonZeroU32,
}

impl Auth {
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !CREDENTIALS_PER_USER.contains(&self.credentials_per_user) {
            bail!("auth.credentials_per_user must be from 10 to 10000");
        }
        Ok(())
    }

    /// The switches of the schemes.
    pub(crate) fn switches(&self) -> Switches {
        let Schemes { basic, so_ticket, bearer, session } = self.schemes;
        Switches { basic, so_ticket, bearer, session }
    }

    /// How long sessions live.
    ///
    /// # Errors
    /// The idle limit is 0, or longer than the lifetime.
    pub(crate) fn session_lifetime(&self) -> anyhow::Result<Lifetime> {
        let Session { idle_minutes, lifetime_minutes } = self.session;
        if idle_minutes == 0 || lifetime_minutes < idle_minutes {
            bail!(
                "auth.session.idle_minutes must be at least 1, and auth.session.lifetime_minutes at \
                 least as long"
            );
        }
        let idle = i64::from(idle_minutes) * MINUTE;
        Ok(Lifetime::Sliding { idle, at_most: Some(i64::from(lifetime_minutes) * MINUTE) })
    }
}

pub(super) fn read_installation<'de, D>(deserializer: D) -> Result<Installation, D::Error>
where
    D: Deserializer<'de>,
{
    match String::deserialize(deserializer)?.as_str() {
        "onsite" => Ok(Installation::Onsite),
        "online" => Ok(Installation::Online),
        _ => Err(D::Error::custom("expected `onsite` or `online`")),
    }
}

pub(super) fn show_installation<S: Serializer>(
    installation: &Installation,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match installation {
        Installation::Onsite => "onsite",
        Installation::Online => "online",
    })
}

fn read_retrieval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Retrieval, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "key" => Ok(Retrieval::ByKey),
        "owner" => Ok(Retrieval::ByOwner),
        _ => Err(D::Error::custom("expected `key` or `owner`")),
    }
}

fn show_retrieval<S: Serializer>(retrieval: &Retrieval, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match retrieval {
        Retrieval::ByKey => "key",
        Retrieval::ByOwner => "owner",
    })
}
