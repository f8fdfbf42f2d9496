//! Verifying a database: its keys are available, and every record's data key opens in its place.
//!
//! Invariant: nothing is changed. Every record reported as damaged was found damaged by two reads, because a server may
//! be writing at the same time. The second read is under the keys of that moment.

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

/// Records read in one page.
const PAGE: usize = 1000;

/// The findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Master keys; each opens its sentinel.
    pub master_keys: u64,
    /// Records that are living or expired. The data key of each opens under its master key, except for the damaged
    /// ones.
    pub records: u64,
    /// Ended records, which hold no tokens.
    pub ended: u64,
    /// Users of all tenants.
    pub users: u64,
    /// Grants that the server has tried to refresh.
    pub grants: u64,
    /// Whether the database is a file; it is sound then.
    pub is_file: bool,
    /// Ids of records whose data key does not open.
    pub damaged: Vec<String>,
    /// Unreadable rows, by kind and key; servers skip them.
    pub unreadable: Vec<(&'static str, String)>,
}

/// Verifies a database, even while servers run on it. Reports the number of checked records from time to time. Blocks.
///
/// # Errors
/// A master key is missing or wrong, the file is damaged, or the database cannot be read.
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

/// Verifies a database on a connection, even if its schema is outdated.
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
            // Meanwhile they may have been re-wrapped under a newer key, or have ended.
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
        // An older schema may lack tables.
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

/// Counts the ended records, and finds unreadable ones.
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
    /// Notes which of these records, by id and owner, are unreadable.
    fn note_unreadable<'a>(&mut self, records: impl Iterator<Item = (i64, &'a str)>) {
        let unreadable = records.filter(|(id, owner)| records::readable(*id, owner).is_none());
        self.unreadable.extend(unreadable.map(|(id, _owner)| ("record", record_ids::name_of(id))));
    }
}

pub(crate) fn counted(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or_default()
}

/// The result of `PRAGMA integrity_check`: `ok`, or the problems.
#[derive(QueryableByName)]
struct Integrity {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

/// Refuses a file whose pages are inconsistent. PostgreSQL checks its own files.
fn check_file(conn: &mut Conn) -> Result<(), OpenError> {
    let Conn::Sqlite(conn) = conn else { return Ok(()) };
    let error_chain: Vec<Integrity> = sql_query("PRAGMA integrity_check(1)").load(conn)?;
    match error_chain.as_slice() {
        [Integrity { integrity_check: error_chain }] if error_chain == "ok" => Ok(()),
        _ => Err(OpenError::Unsound),
    }
}

/// Reads the next records that have not ended, after this id.
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

/// Reads the record of this id, if it has not ended.
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
