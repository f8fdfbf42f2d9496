//! The description of the grant behind a record, for people.
//!
//! Invariant: it needs no key, because it uses only the database's plain columns and the current configuration.

use std::collections::HashMap;

use model::{CauseKind, GrantCause, GrantState, TenantId};
use store::{ProviderPause, RecordInfo, Store, StoreError};

use super::{Grants, providers::Providers};

/// The state of the grant behind a record. Times are microseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantDescription {
    /// `None`, `Live`, `Refreshing`, `Failing`, `Blocked`, `Dead` or `Paused`.
    pub(crate) state: &'static str,
    pub(crate) cause: Option<GrantCause>,
    /// The start of the state, if a refresh was tried.
    pub(crate) since: Option<i64>,
    /// The earliest time of the next attempt, if something prevents a refresh now.
    pub(crate) retry_at: Option<i64>,
}

impl GrantDescription {
    /// The record is not refreshed, or was not refreshed yet.
    pub(crate) const NONE: Self = Self { state: "None", cause: None, since: None, retry_at: None };
}

impl Grants {
    /// Describes the grants behind records of a tenant, in the order of the records.
    pub(crate) async fn describe(
        &self,
        tenant: &TenantId,
        records: &[RecordInfo],
    ) -> Result<Vec<GrantDescription>, StoreError> {
        describe_all(&self.store, &self.providers, self.is_enabled, tenant, records).await
    }
}

/// Describes the grants behind records of a tenant, in the order of the records; all are `NONE` unless tokens are
/// refreshed.
pub(crate) async fn describe_all(
    store: &Store,
    providers: &Providers,
    is_enabled: bool,
    tenant: &TenantId,
    records: &[RecordInfo],
) -> Result<Vec<GrantDescription>, StoreError> {
    if !is_enabled {
        return Ok(vec![GrantDescription::NONE; records.len()]);
    }
    let client_of = |record: &RecordInfo| {
        let provider = providers.find(tenant, &record.provider);
        provider.filter(|_| record.ended.is_none()).map(|provider| provider.client_digest)
    };
    let clients: Vec<Option<[u8; 32]>> = records.iter().map(client_of).collect();
    let mut asked: Vec<[u8; 32]> = clients.iter().flatten().copied().collect();
    if asked.is_empty() {
        return Ok(vec![GrantDescription::NONE; records.len()]);
    }
    asked.sort_unstable();
    asked.dedup();
    let (pauses, are_all_paused) = store.provider_pauses(asked.clone()).await?;
    let pauses: HashMap<[u8; 32], ProviderPause> = asked
        .into_iter()
        .zip(pauses)
        .filter_map(|(client, pause)| Some((client, pause?)))
        .collect();
    let now = store.database_time();
    let describe = |(record, client): (&RecordInfo, &Option<[u8; 32]>)| match client {
        Some(client) => describe(record, client, pauses.get(client), are_all_paused, now),
        None => GrantDescription::NONE,
    };
    Ok(records.iter().zip(&clients).map(describe).collect())
}

fn describe(
    record: &RecordInfo,
    client: &[u8; 32],
    pause: Option<&ProviderPause>,
    are_all_paused: bool,
    now: i64,
) -> GrantDescription {
    let grant = &record.grant;
    let later = |time: &i64| *time > now;
    let known = GrantDescription {
        state: match grant.state {
            GrantState::Unknown => "None",
            GrantState::Live => "Live",
            GrantState::Failing => "Failing",
            GrantState::Dead => "Dead",
        },
        cause: grant.cause,
        since: grant.since,
        retry_at: grant.retry_at.filter(later),
    };
    if are_all_paused {
        return GrantDescription { state: "Paused", ..known };
    }
    if grant.client_digest.as_ref().is_some_and(|given_to| given_to != client) {
        let cause = Some(CauseKind::OtherClient.into());
        return GrantDescription { state: "Dead", cause, retry_at: None, ..known };
    }
    if let Some(pause) = pause.filter(|pause| later(&pause.retry_at)) {
        return GrantDescription {
            state: "Blocked",
            cause: Some(pause.cause),
            since: Some(pause.since),
            retry_at: Some(pause.retry_at),
        };
    }
    if grant.leased_until.as_ref().is_some_and(later) {
        return GrantDescription { state: "Refreshing", ..known };
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Login, RecordId};
    use store::Grant;

    const CLIENT: [u8; 32] = [1; 32];

    fn record(grant: Grant) -> RecordInfo {
        RecordInfo {
            id: RecordId::from_i64(1).expect("id"),
            owner: Login::parse("tje0").expect("login"),
            provider: "et".to_owned(),
            created: 0,
            updated: 0,
            last_used: None,
            expires: None,
            ended: None,
            generation: 1,
            access_expires: None,
            grant,
        }
    }

    /// Obstacles for all records go before those of one.
    #[test]
    fn the_state_says_what_is_in_the_way_first() {
        let failing = Grant {
            state: GrantState::Failing,
            cause: Some(CauseKind::Timeout.into()),
            since: Some(3),
            retry_at: Some(20),
            client_digest: Some(CLIENT.to_vec()),
            leased_until: Some(15),
            ..Grant::default()
        };
        let pause =
            ProviderPause { cause: CauseKind::InvalidClient.into(), since: 5, retry_at: 30 };
        let state = |client: [u8; 32], pause, all, now| {
            let found = describe(&record(failing.clone()), &client, pause, all, now);
            (found.state, found.cause.map(|cause| cause.to_string()), found.retry_at)
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(state(CLIENT, Some(&pause), true, 10), ("Paused", text("timeout"), Some(20)));
        assert_eq!(state([2; 32], Some(&pause), false, 10), ("Dead", text("other_client"), None));
        let blocked = ("Blocked", text("invalid_client"), Some(30));
        assert_eq!(state(CLIENT, Some(&pause), false, 10), blocked);
        assert_eq!(state(CLIENT, None, false, 10), ("Refreshing", text("timeout"), Some(20)));
        assert_eq!(state(CLIENT, Some(&pause), false, 40), ("Failing", text("timeout"), None));
        let untried = describe(&record(Grant::default()), &CLIENT, None, false, 10);
        assert_eq!(untried, GrantDescription::NONE);
    }
}
