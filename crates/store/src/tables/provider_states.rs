//! The provider_states and grants_paused tables: pauses of requests to providers.
//!
//! Invariant: after a pause's time at most one server sends a request, and the others wait for its outcome.

use diesel::prelude::*;
use model::GrantCause;

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    tables::schema::{grants_paused, provider_states},
};

/// Reason of a pause that began when the database was restored from a backup.
pub(crate) const RESTORED: &str = "restore";
/// Reason of a pause that began when it was copied.
pub(crate) const COPIED: &str = "copy";
/// Reason of a pause that began when it was found in another PostgreSQL database than before.
pub(crate) const MOVED: &str = "moved";

/// A pause of requests to a provider. Times are microseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderPause {
    /// The cause.
    pub cause: GrantCause,
    /// Start of the pause.
    pub since: i64,
    /// Time of the next probe.
    pub retry_at: i64,
}

/// Returns the pause of a provider's client, or `None`.
pub(crate) fn find(
    conn: &mut Conn,
    client_digest: &[u8],
) -> Result<Option<ProviderPause>, StoreError> {
    let columns = (provider_states::cause, provider_states::since, provider_states::retry_at);
    let row = provider_states::table.find(client_digest).select(columns);
    let row: Option<(String, i64, i64)> = on_backend!(conn, |conn| row.first(conn)).optional()?;
    Ok(row.and_then(|(cause, since, retry_at)| {
        Some(ProviderPause { cause: GrantCause::of_name(&cause)?, since, retry_at })
    }))
}

/// Begins or extends a pause. Returns whether it began.
pub(crate) fn pause(
    conn: &mut Conn,
    client_digest: &[u8],
    pause: ProviderPause,
) -> Result<bool, StoreError> {
    use provider_states::{cause, retry_at, table};
    let row = (
        provider_states::client_digest.eq(client_digest),
        cause.eq(pause.cause.to_string()),
        provider_states::since.eq(pause.since),
        retry_at.eq(pause.retry_at),
    );
    // Retries, because another server may end the pause between the two statements.
    loop {
        let insert = diesel::insert_into(table).values(&row).on_conflict_do_nothing();
        if on_backend!(conn, |conn| insert.execute(conn))? > 0 {
            return Ok(true);
        }
        let set = (cause.eq(pause.cause.to_string()), retry_at.eq(pause.retry_at));
        if diesel::update(table.find(client_digest)).set(set).execute(conn)? > 0 {
            return Ok(false);
        }
    }
}

/// Claims the right to probe whether a pause can end, if a probe is due. The next probe is due at `retry_at`. Returns
/// whether this call got the right.
pub(crate) fn take_probe(
    conn: &mut Conn,
    client_digest: &[u8],
    now: i64,
    retry_at: i64,
) -> Result<bool, StoreError> {
    let due = provider_states::table.find(client_digest).filter(provider_states::retry_at.le(now));
    let taken = diesel::update(due).set(provider_states::retry_at.eq(retry_at)).execute(conn)?;
    Ok(taken > 0)
}

/// Makes the next probe due now. Returns whether there is a pause.
pub(crate) fn end_wait(
    conn: &mut Conn,
    client_digest: &[u8],
    now: i64,
) -> Result<bool, StoreError> {
    let paused = provider_states::table.find(client_digest);
    let due = provider_states::retry_at.eq(now);
    Ok(diesel::update(paused).set(due).execute(conn)? > 0)
}

/// Ends a pause. Returns whether there was one.
pub(crate) fn resume(conn: &mut Conn, client_digest: &[u8]) -> Result<bool, StoreError> {
    Ok(diesel::delete(provider_states::table.find(client_digest)).execute(conn)? > 0)
}

/// Returns whether requests to all providers are paused.
pub(crate) fn are_all_paused(conn: &mut Conn) -> Result<bool, StoreError> {
    let first = grants_paused::table.select(grants_paused::since);
    let first: Option<i64> = on_backend!(conn, |conn| first.first(conn)).optional()?;
    Ok(first.is_some())
}

/// Returns the reasons why requests to all providers are paused.
pub(crate) fn reasons(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    Ok(grants_paused::table.order(grants_paused::since).select(grants_paused::reason).load(conn)?)
}

/// Pauses requests to all providers for this reason.
pub(crate) fn pause_all(conn: &mut Conn, reason: &str, now: i64) -> Result<(), StoreError> {
    let row = (grants_paused::reason.eq(reason), grants_paused::since.eq(now));
    let insert = diesel::insert_into(grants_paused::table).values(row).on_conflict_do_nothing();
    on_backend!(conn, |conn| insert.execute(conn))?;
    Ok(())
}

/// Resumes requests to providers. Returns the reasons of the pause.
pub(crate) fn resume_all(conn: &mut Conn) -> Result<Vec<String>, StoreError> {
    let reasons = reasons(conn)?;
    diesel::delete(grants_paused::table).execute(conn)?;
    Ok(reasons)
}
