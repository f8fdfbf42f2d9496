//! What receivers of webhooks are sent about a grant.
//!
//! Invariant: an event is written in the transaction that changed the grant, and once: a grant keeps which trouble was
//! reported, so that its end is reported if, and only if, its beginning was.

use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use model::{EventKind, GrantState, RecordId};

use super::{GrantRow, find, lock, write};
use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    tables::{deliveries::Outbox, records::BATCH, schema::grants},
};

/// What was reported, as bits of a row's `reported`.
const FAILING: i32 = 1;
const DEAD: i32 = 2;
pub(super) const ENDING: i32 = 4;
const TROUBLE: i32 = FAILING | DEAD;

/// Writes an event about a grant that has just changed, if it is one. The caller has locked its record.
pub(crate) fn report(
    conn: &mut Conn,
    now: i64,
    outbox: &Outbox,
    record: RecordId,
) -> Result<(), StoreError> {
    if outbox.is_off() {
        return Ok(());
    }
    let Some(row) = find(conn, record)? else { return Ok(()) };
    let trouble = row.reported & TROUBLE;
    let has_failed_for_long = row.since.saturating_add(outbox.failing_us()) <= now;
    let (kind, trouble) = match GrantState::of_name(&row.state).unwrap_or_default() {
        GrantState::Dead if trouble != DEAD => (EventKind::GrantDead, DEAD),
        GrantState::Failing if trouble == 0 && has_failed_for_long => {
            (EventKind::GrantFailing, FAILING)
        }
        GrantState::Live if trouble != 0 => (EventKind::GrantRecovered, 0),
        _ => return Ok(()),
    };
    outbox.write_of_record(conn, now, record, kind, (row.cause.clone(), None))?;
    let reported = row.reported & !TROUBLE | trouble;
    write(conn, &GrantRow { reported, ..row })
}

/// Some records whose refreshes have failed since then, which was not reported.
pub(crate) fn failing(conn: &mut Conn, since: i64) -> Result<Vec<i64>, StoreError> {
    let failing = grants::table
        // Literally, because otherwise no index serves.
        .filter(sql::<Bool>("state = 'failing' AND (reported & 3) = 0"))
        .filter(grants::since.le(since))
        .order(grants::since)
        .select(grants::record)
        .limit(BATCH);
    Ok(on_backend!(conn, |conn| failing.load(conn))?)
}

/// Some records whose refresh tokens end between these times, which was not reported.
pub(crate) fn expiring(conn: &mut Conn, from: i64, to: i64) -> Result<Vec<i64>, StoreError> {
    let expiring = grants::table
        .filter(sql::<Bool>("(reported & 4) = 0"))
        .filter(grants::refresh_by.gt(from))
        .filter(grants::refresh_by.le(to))
        .order(grants::refresh_by)
        .select(grants::record)
        .limit(BATCH);
    Ok(on_backend!(conn, |conn| expiring.load(conn))?)
}

/// Reports each of the records whose refreshes still fail. Those of records that ended are not looked for again.
pub(crate) fn report_failing(
    conn: &mut Conn,
    now: i64,
    outbox: &Outbox,
    records: &[RecordId],
) -> Result<(), StoreError> {
    for record in records {
        if lock(conn, *record)?.is_some_and(|current| current.lives(now)) {
            report(conn, now, outbox, *record)?;
        } else if let Some(row) = find(conn, *record)? {
            let reported = row.reported | FAILING;
            write(conn, &GrantRow { reported, ..row })?;
        }
    }
    Ok(())
}

/// Writes for each of the records that its refresh token ends soon, if it still does.
pub(crate) fn report_expiring(
    conn: &mut Conn,
    now: i64,
    outbox: &Outbox,
    records: &[RecordId],
) -> Result<(), StoreError> {
    for record in records {
        let lives = lock(conn, *record)?.is_some_and(|current| current.lives(now));
        let Some(row) = find(conn, *record)? else { continue };
        let ends = row.refresh_by.filter(|ends| *ends <= now.saturating_add(outbox.expiring_us()));
        let Some(ends) = ends.filter(|_| row.reported & ENDING == 0) else { continue };
        if lives && row.state != GrantState::Dead.name() {
            let details = (None, Some(ends));
            outbox.write_of_record(conn, now, *record, EventKind::GrantExpiring, details)?;
        }
        write(conn, &GrantRow { reported: row.reported | ENDING, ..row })?;
    }
    Ok(())
}
