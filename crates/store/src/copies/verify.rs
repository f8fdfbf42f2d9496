//! Proving a database: that its keys are there, and that every record's data key opens in its place.
//!
//! Invariant: nothing is changed, and a record is called damaged only if it is so when it is read once more
//! under the keys of that moment; a server may be at work on it.

use diesel::{QueryableByName, prelude::*, sql_query, sql_types::Text};

use crate::{
    CopyError, Database, KekSources, OpenError,
    backend::{
        conn::{self, Conn},
        migrate,
        postgres::pooler,
        sqlite::instance_lock,
    },
    keys::keyring::{Keyring, LIFECYCLE},
    record_ids,
    tables::{
        applications, credentials, grants, records,
        schema::{self, external_tokens},
        users,
        wrapped_dek::WrappedDek,
    },
};

/// Records that are read at once.
const PAGE: usize = 1000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Master keys; each opens its sentinel.
    pub master_keys: u64,
    /// Records that live or expired. Each has a data key that opens under its master key, but for those that
    /// are damaged.
    pub records: u64,
    /// Records that ended, which hold nothing.
    pub ended: u64,
    /// Users of all tenants.
    pub users: u64,
    /// Grants that a refresh was tried of.
    pub grants: u64,
    /// Whether there is a file, which is sound.
    pub is_file: bool,
    /// The ids of records whose data key does not open.
    pub damaged: Vec<String>,
    /// The rows that cannot be read, by their tables' things and their keys; servers leave them out.
    pub unreadable: Vec<(&'static str, String)>,
}

/// Proves a database, also beside servers. Tells how many records were looked at, now and then. Blocks.
///
/// # Errors
/// A master key is not there or not the right one, the file is not sound, or the database cannot be read.
pub fn verify(
    database: &Database,
    keys: &KekSources,
    progress: &mut dyn FnMut(u64),
) -> Result<VerifyReport, CopyError> {
    let database = instance_lock::look(database)?;
    if let Database::Postgres(url) = &database {
        pooler::refuse(url)?;
    }
    prove(&mut Conn::reading(&database)?, keys, progress)
}

/// As `verify`, on a connection; also a database whose schema is behind.
pub(crate) fn prove(
    conn: &mut Conn,
    keys: &KekSources,
    progress: &mut dyn FnMut(u64),
) -> Result<VerifyReport, CopyError> {
    conn::limit(conn, None);
    migrate::refuse_newer(conn)?;
    check_file(conn)?;
    let has_ended = migrate::is_applied(conn, LIFECYCLE)?;
    let mut proof =
        VerifyReport { is_file: matches!(conn, Conn::Sqlite(_)), ..VerifyReport::default() };
    let mut keyring = Keyring::load(keys, conn)?.ok_or(CopyError::Nothing)?;
    let mut last = i64::MIN;
    loop {
        let rows = page(conn, has_ended, last)?;
        let Some(end) = rows.last() else { break };
        last = end.id;
        proof.records += rows.len() as u64;
        proof.note_unreadable(rows.iter().map(|row| (row.id, row.owner.as_str())));
        let shut: Vec<i64> =
            rows.iter().filter(|row| !opens(row, &keyring)).map(|row| row.id).collect();
        if !shut.is_empty() {
            // They may have been wrapped anew, under a key younger than those known here, or have ended.
            keyring = Keyring::load(keys, conn)?.ok_or(CopyError::Nothing)?;
        }
        for id in shut {
            let row = find(conn, has_ended, id)?;
            if row.is_some_and(|row| !opens(&row, &keyring)) {
                proof.damaged.push(record_ids::name_of(id));
            }
        }
        progress(proof.records);
    }
    if has_ended {
        look_at_ended(conn, &mut proof)?;
    }
    if has_ended {
        // A schema that is further behind lacks tables.
        for (thing, rows) in [
            ("user", users::unreadable(conn)?),
            ("credential", credentials::unreadable(conn)?),
            ("application", applications::unreadable(conn)?),
        ] {
            proof.unreadable.extend(rows.into_iter().map(|key| (thing, key)));
        }
    }
    proof.users = counted(schema::users::table.count().get_result(conn)?);
    if migrate::is_applied(conn, grants::MIGRATION)? {
        proof.grants = counted(schema::grants::table.count().get_result(conn)?);
    }
    proof.master_keys = keyring.count() as u64;
    Ok(proof)
}

/// Counts the records that ended, and finds those that cannot be read.
fn look_at_ended(conn: &mut Conn, proof: &mut VerifyReport) -> Result<(), OpenError> {
    let mut last = i64::MIN;
    loop {
        let page = external_tokens::table
            .filter(external_tokens::ended.is_not_null())
            .filter(external_tokens::id.gt(last))
            .order(external_tokens::id)
            .limit(PAGE as i64)
            .select((external_tokens::id, external_tokens::owner));
        let rows: Vec<(i64, String)> = page.load(conn)?;
        let Some((end, _owner)) = rows.last() else { return Ok(()) };
        last = *end;
        proof.ended += rows.len() as u64;
        proof.note_unreadable(rows.iter().map(|(id, owner)| (*id, owner.as_str())));
    }
}

impl VerifyReport {
    /// Notes which of these records, by id and owner, cannot be read.
    fn note_unreadable<'a>(&mut self, records: impl Iterator<Item = (i64, &'a str)>) {
        let unreadable = records.filter(|(id, owner)| records::readable(*id, owner).is_none());
        self.unreadable.extend(unreadable.map(|(id, _owner)| ("record", record_ids::name_of(id))));
    }
}

pub(crate) fn counted(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or_default()
}

/// What `PRAGMA integrity_check` tells: `ok`, or what is wrong.
#[derive(QueryableByName)]
struct Integrity {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// Refuses a file whose pages do not fit together; a server looks after its own.
fn check_file(conn: &mut Conn) -> Result<(), OpenError> {
    let Conn::Sqlite(conn) = conn else { return Ok(()) };
    let error_chain: Vec<Integrity> = sql_query("PRAGMA integrity_check(1)").load(conn)?;
    match error_chain.as_slice() {
        [Integrity { integrity_check: error_chain }] if error_chain == "ok" => Ok(()),
        _ => Err(OpenError::Unsound),
    }
}

/// The next records that have not ended, behind this id.
fn page(conn: &mut Conn, has_ended: bool, last: i64) -> Result<Vec<WrappedDek>, OpenError> {
    let mut page = external_tokens::table
        .filter(external_tokens::id.gt(last))
        .order(external_tokens::id)
        .limit(PAGE as i64)
        .select(WrappedDek::as_select())
        .into_boxed();
    if has_ended {
        page = page.filter(external_tokens::ended.is_null());
    }
    Ok(page.load(conn)?)
}

/// The record of this id, if it has not ended.
fn find(conn: &mut Conn, has_ended: bool, id: i64) -> Result<Option<WrappedDek>, OpenError> {
    let mut row = external_tokens::table.find(id).select(WrappedDek::as_select()).into_boxed();
    if has_ended {
        row = row.filter(external_tokens::ended.is_null());
    }
    Ok(row.first(conn).optional()?)
}

fn opens(row: &WrappedDek, keyring: &Keyring) -> bool {
    keyring.find(&row.kek_id).is_some_and(|kek| row.unwrap(kek).is_some())
}
