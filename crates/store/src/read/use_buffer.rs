//! Uses of records: noted in memory by gets and written later.
//!
//! Invariant: no get waits for its note to be written. At most `NOTES` notes wait. No write touches a record that ended
//! or expired.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Nullable},
};

use crate::{
    StoreError,
    backend::conn::Conn,
    expiry_limits::{ExpiryLimits, USE_COUNTS_FOR_US},
    tables::{external_tokens::RecordTimes, records, schema::external_tokens},
};

/// The most notes. When they are full, uses are not noted until some are written. Half of the slots are reserved for
/// records with an idle limit.
const NOTES: usize = 1 << 16;
/// Notes written in one batch.
const BATCH: usize = 256;

/// A use to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UseNote {
    record: i64,
    at: i64,
    /// The use is skipped if the record has a recorded use after this time.
    unless_since: i64,
    /// The record's expiry after this use; `None` for never.
    expires: Option<i64>,
}

/// Uses to be written, one for each record.
#[derive(Default)]
pub(crate) struct UseBuffer {
    notes: Mutex<BTreeMap<i64, UseNote>>,
    /// Number of notes, readable without the lock.
    count: AtomicUsize,
    /// The record id at which the next batch begins.
    next: AtomicI64,
}

impl UseBuffer {
    /// Notes a use of a record now, unless a use was recorded within the last hour.
    pub(crate) fn note(&self, times: RecordTimes, limits: ExpiryLimits, now: i64) {
        let RecordTimes { record, created, last_used, expires } = times;
        let unless_since = now.saturating_sub(USE_COUNTS_FOR_US);
        let is_known = last_used.is_some_and(|last_used| last_used > unless_since);
        let room = if limits.max_idle_us.is_some() { NOTES } else { NOTES / 2 };
        if is_known || self.count.load(Ordering::Relaxed) >= room {
            return;
        }
        let record = record.as_i64();
        let expires = limits.expiry_when_used(created, now, expires);
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.entry(record).or_insert(UseNote { record, at: now, unless_since, expires });
        self.count.store(notes.len(), Ordering::Relaxed);
    }

    /// Returns the next batch of notes in turn. They stay until `done`, so that a use meanwhile is not noted again.
    pub(crate) fn some(&self) -> Vec<UseNote> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.next.load(Ordering::Relaxed);
        let some = |first: i64| notes.range(first..).take(BATCH).map(|(_, noted)| *noted).collect();
        let behind: Vec<UseNote> = some(next);
        if behind.is_empty() { some(i64::MIN) } else { behind }
    }

    /// Removes written notes.
    pub(crate) fn done(&self, written: &[UseNote]) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        for noted in written {
            notes.remove(&noted.record);
            self.next.store(noted.record.saturating_add(1), Ordering::Relaxed);
        }
        self.count.store(notes.len(), Ordering::Relaxed);
    }
}

/// Writes uses of living records.
pub(crate) fn write(conn: &mut Conn, now: i64, uses: &[UseNote]) -> Result<(), StoreError> {
    match conn {
        Conn::Sqlite(conn) => {
            for noted in uses {
                write_one(conn, noted, now)?;
            }
        }
        Conn::Postgres(session) => {
            let all = WriteAll::of(uses, now);
            records::lock_in_order(session, &all.records)?;
            session.execute_returning_count(&all)?;
        }
    }
    Ok(())
}

fn write_one(conn: &mut SqliteConnection, noted: &UseNote, now: i64) -> Result<(), StoreError> {
    let used = diesel::update(external_tokens::table.find(noted.record))
        .filter(external_tokens::ended.is_null())
        .filter(external_tokens::expires.is_null().or(external_tokens::expires.gt(now)))
        .filter(
            external_tokens::last_used
                .is_null()
                .or(external_tokens::last_used.le(noted.unless_since)),
        );
    let set = (external_tokens::last_used.eq(noted.at), external_tokens::expires.eq(noted.expires));
    used.set(set).execute(conn)?;
    Ok(())
}

/// The columns of many uses, written in one statement and one round trip.
struct WriteAll {
    records: Vec<i64>,
    at: Vec<i64>,
    unless_since: Vec<i64>,
    expires: Vec<Option<i64>>,
    now: i64,
}

impl WriteAll {
    fn of(uses: &[UseNote], now: i64) -> Self {
        Self {
            records: uses.iter().map(|noted| noted.record).collect(),
            at: uses.iter().map(|noted| noted.at).collect(),
            unless_since: uses.iter().map(|noted| noted.unless_since).collect(),
            expires: uses.iter().map(|noted| noted.expires).collect(),
            now,
        }
    }
}

impl QueryId for WriteAll {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for WriteAll {
    fn walk_ast<'b>(&'b self, mut sql: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        sql.push_sql(
            "UPDATE external_tokens SET last_used = used.at, \
             expires = used.expires FROM (SELECT * FROM unnest(",
        );
        sql.push_bind_param::<Array<BigInt>, _>(&self.records)?;
        sql.push_sql(", ");
        sql.push_bind_param::<Array<BigInt>, _>(&self.at)?;
        sql.push_sql(", ");
        sql.push_bind_param::<Array<BigInt>, _>(&self.unless_since)?;
        sql.push_sql(", ");
        sql.push_bind_param::<Array<Nullable<BigInt>>, _>(&self.expires)?;
        sql.push_sql(
            ") AS noted (record, at, unless_since, expires)) AS used \
             WHERE external_tokens.id = used.record AND external_tokens.ended IS NULL \
             AND (external_tokens.last_used IS NULL \
             OR external_tokens.last_used <= used.unless_since) \
             AND (external_tokens.expires IS NULL OR external_tokens.expires > ",
        );
        sql.push_bind_param::<BigInt, _>(&self.now)?;
        sql.push_sql(")");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Database,
        backend::{migrate, sqlite::instance_lock},
    };
    use diesel::connection::SimpleConnection as _;

    /// In 2027.
    const NOW: i64 = 1_800_000_000_000_000;

    fn times(record: i64, last_used: Option<i64>) -> RecordTimes {
        let record = model::RecordId::from_i64(record).expect("id");
        RecordTimes { record, created: 0, last_used, expires: None }
    }

    /// CONTRACT 40: a use is noted once until it is written, and not again soon after.
    #[test]
    fn a_use_is_noted_when_the_last_is_long_ago() {
        let (uses, now) = (UseBuffer::default(), NOW);
        let hour = 3_600_000_000;
        let idle = ExpiryLimits { max_age_us: None, max_idle_us: Some(24 * hour) };
        for (record, last_used, limits) in [
            (1, None, ExpiryLimits::default()),
            (2, Some(now), ExpiryLimits::default()),
            (3, Some(now - hour / 2), ExpiryLimits::default()),
            (4, Some(now - hour), ExpiryLimits::default()),
            (5, Some(now - hour / 2), idle),
            (6, Some(now - hour), idle),
        ] {
            uses.note(times(record, last_used), limits, NOW);
            uses.note(times(record, last_used), limits, NOW);
        }
        let noted = uses.some();
        assert_eq!(records(&noted), [1, 4, 6]);
        let until: Vec<_> = noted.iter().map(|noted| noted.expires.is_some()).collect();
        assert_eq!(until, [false, false, true]);
        uses.done(&noted[..2]);
        assert_eq!(uses.some(), noted[2..]);
        assert_eq!(uses.count.load(Ordering::Relaxed), 1);
    }

    /// Every note has its turn, however many are added meanwhile. Records with an idle limit have reserved room.
    #[test]
    fn what_waits_is_bounded_and_written_in_turn() {
        let uses = UseBuffer::default();
        let idle = ExpiryLimits { max_age_us: None, max_idle_us: Some(1) };
        for record in 0..NOTES as i64 {
            uses.note(times(record, None), ExpiryLimits::default(), NOW);
        }
        assert_eq!(uses.count.load(Ordering::Relaxed), NOTES / 2);
        let batch = BATCH as i64;
        for turn in 0..3 {
            let some = uses.some();
            assert_eq!(records(&some), (turn * batch..(turn + 1) * batch).collect::<Vec<_>>());
            uses.done(&some);
            uses.note(times(0, None), ExpiryLimits::default(), NOW);
        }
        for record in 0..2 * NOTES as i64 {
            uses.note(times(record, None), idle, NOW);
        }
        assert_eq!(uses.count.load(Ordering::Relaxed), NOTES);
        let last = uses.notes.lock().expect("lock").values().last().copied();
        uses.done(&[last.expect("a note")]);
        assert_eq!(records(&uses.some())[0], 0, "behind the last comes the first");
    }

    fn records(uses: &[UseNote]) -> Vec<i64> {
        uses.iter().map(|noted| noted.record).collect()
    }

    /// CONTRACT 40: a use is written on a record that lives, if none was lately, and with it the record's end.
    #[test]
    fn a_use_changes_only_what_lives() {
        let folder = tempfile::tempdir().expect("folder");
        let database = Database::Sqlite(folder.path().join("test.db"));
        let (database, _lock) = instance_lock::take(&database).expect("lock");
        let mut conn = Conn::writing(&database).expect("connect");
        migrate::run(&mut conn).expect("migrate");
        let (now, later) = (NOW, NOW + 1_000_000_000);
        for (id, last_used, expires, ended) in [
            (1, "NULL", later.to_string(), "NULL"),
            (2, "NULL", later.to_string(), "NULL"),
            (3, "NULL", later.to_string(), "7"),
            (4, "NULL", "7".to_owned(), "NULL"),
            (5, "11", later.to_string(), "NULL"),
        ] {
            conn.batch_execute(&format!(
                "INSERT INTO external_tokens VALUES ({id}, 't', 'o', 'p', 1, x'', '', x'', x'', 1, 1, \
                 {last_used}, {expires}, {ended}, NULL)"
            ))
            .expect("insert");
        }
        let noted = |record, expires| UseNote { record, at: now, unless_since: 10, expires };
        let uses: Vec<UseNote> =
            (1..=5).map(|id| noted(id, (id > 1).then_some(later + 1))).collect();
        write(&mut conn, NOW, &uses).expect("write");
        let found: Vec<(Option<i64>, Option<i64>)> = external_tokens::table
            .select((external_tokens::last_used, external_tokens::expires))
            .order(external_tokens::id)
            .load(&mut conn)
            .expect("read");
        let expected = [
            (Some(now), None),
            (Some(now), Some(later + 1)),
            (None, Some(later)),
            (None, Some(7)),
            (Some(11), Some(later)),
        ];
        assert_eq!(found, expected);
    }
}
