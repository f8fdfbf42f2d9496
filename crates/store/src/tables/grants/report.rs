//! Events about a grant for receivers of webhooks.
//!
//! Invariant: every event is written once, in the transaction that changed the grant. A grant records which trouble was
//! reported. An event that no receiver had room for does not count as reported, and the server tries again later.

use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use model::{EventKind, GrantState, RecordId};

use super::{GrantRow, find, lock, write};
use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    tables::{
        deliveries::{Details, Outbox},
        schema::grants,
    },
};

/// Reported events, as bits of a row's `reported`.
const FAILING: i32 = 1;
const DEAD: i32 = 2;
const ENDING: i32 = 4;
const TROUBLE: i32 = FAILING | DEAD;

/// Grants reported in one transaction.
pub(crate) const TOGETHER: usize = 16;

/// The trouble of a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    Failing,
    Dead,
}

/// Writes an event about a grant that has changed, if the change is an event and the record lives. The caller has
/// locked the record. Returns whether the row was changed.
pub(crate) fn report(
    conn: &mut Conn,
    now: i64,
    outbox: &Outbox,
    record: RecordId,
) -> Result<bool, StoreError> {
    if outbox.is_off() || !lock(conn, record)?.is_some_and(|current| current.lives(now)) {
        return Ok(false);
    }
    let row = find(conn, record)?;
    row.map_or(Ok(false), |row| report_row(conn, now, outbox, record, row))
}

fn report_row(
    conn: &mut Conn,
    now: i64,
    outbox: &Outbox,
    record: RecordId,
    row: GrantRow,
) -> Result<bool, StoreError> {
    let is_ending = |ends: i64| ends <= now.saturating_add(outbox.expiring_us);
    let ending = row.reported & if row.refresh_by.is_some_and(is_ending) { ENDING } else { 0 };
    let trouble = row.reported & TROUBLE;
    let has_failed_for_long = row.since.saturating_add(outbox.failing_us) <= now;
    let (kind, changed) = match GrantState::of_name(&row.state).unwrap_or_default() {
        GrantState::Dead if trouble != DEAD => (Some(EventKind::GrantDead), DEAD),
        GrantState::Failing if trouble == 0 && has_failed_for_long => {
            (Some(EventKind::GrantFailing), FAILING)
        }
        GrantState::Live if trouble != 0 => (Some(EventKind::GrantRecovered), 0),
        _ => (None, trouble),
    };
    let is_known = match kind {
        Some(kind) => {
            let details = Details { cause: row.cause.clone(), refresh_by: None };
            outbox.write_of_record(conn, now, record, kind, details)?
        }
        None => true,
    };
    let reported = ending | if is_known { changed } else { trouble };
    let is_other = reported != row.reported;
    if is_other {
        write(conn, &GrantRow { reported, ..row })?;
    }
    Ok(is_other)
}

/// Finds records with unreported trouble that began at `since` or before, for example because too many events were
/// waiting.
pub(crate) fn in_trouble(
    conn: &mut Conn,
    trouble: Trouble,
    since: i64,
) -> Result<Vec<i64>, StoreError> {
    let found = grants::table
        // A literal condition, because otherwise the database does not use the index.
        .filter(sql::<Bool>(match trouble {
            Trouble::Failing => "state = 'failing' AND (reported & 3) = 0",
            Trouble::Dead => "state = 'dead' AND (reported & 2) = 0",
        }))
        .filter(grants::since.le(since))
        .order(grants::since)
        .select(grants::record)
        .limit(TOGETHER as i64);
    Ok(on_backend!(conn, |conn| found.load(conn))?)
}

/// Finds records whose refresh tokens end between these times, unless that was reported.
pub(crate) fn expiring(conn: &mut Conn, from: i64, to: i64) -> Result<Vec<i64>, StoreError> {
    let expiring = grants::table
        .filter(sql::<Bool>("(reported & 4) = 0"))
        .filter(grants::refresh_by.gt(from))
        .filter(grants::refresh_by.le(to))
        .order(grants::refresh_by)
        .select(grants::record)
        .limit(TOGETHER as i64);
    Ok(on_backend!(conn, |conn| expiring.load(conn))?)
}

/// Reports the trouble of each record, if it still exists. Returns how many rows were changed. Ended records are
/// marked, so that they are not found again.
pub(crate) fn report_trouble(
    conn: &mut Conn,
    now: i64,
    outbox: &Outbox,
    records: &[RecordId],
) -> Result<usize, StoreError> {
    let mut changed = 0;
    for record in records {
        let lives = lock(conn, *record)?.is_some_and(|current| current.lives(now));
        let Some(row) = find(conn, *record)? else { continue };
        if lives {
            changed += usize::from(report_row(conn, now, outbox, *record, row)?);
        } else {
            write(conn, &GrantRow { reported: row.reported | TROUBLE, ..row })?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// Reports for each record that its refresh token ends soon, if it still does. Returns how many rows were changed.
pub(crate) fn report_expiring(
    conn: &mut Conn,
    now: i64,
    outbox: &Outbox,
    records: &[RecordId],
) -> Result<usize, StoreError> {
    let mut changed = 0;
    for record in records {
        let lives = lock(conn, *record)?.is_some_and(|current| current.lives(now));
        let Some(row) = find(conn, *record)? else { continue };
        let ends = row.refresh_by.filter(|ends| *ends <= now.saturating_add(outbox.expiring_us));
        let Some(ends) = ends.filter(|_| row.reported & ENDING == 0) else { continue };
        let details = Details { cause: None, refresh_by: Some(ends) };
        let is_known = !lives
            || row.state == GrantState::Dead.name()
            || outbox.write_of_record(conn, now, *record, EventKind::GrantExpiring, details)?;
        if is_known {
            write(conn, &GrantRow { reported: row.reported | ENDING, ..row })?;
            changed += 1;
        }
    }
    Ok(changed)
}
