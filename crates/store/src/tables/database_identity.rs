//! The database_identity table: the PostgreSQL cluster and database that this was when it was last opened.
//!
//! Invariant: the transaction that records another identity also pauses the database, so that every change of the
//! identity causes exactly one pause.

use diesel::{dsl::sql, prelude::*, sql_types::Text};

use crate::{
    OpenError,
    backend::{
        conn::{self, Conn, on_backend},
        postgres::Refusal,
    },
    tables::{
        provider_states::{self, MOVED},
        schema::database_identity,
    },
};

/// The cluster's identifier from `initdb`, which a standby shares, and the OID of the database in it.
const IDENTITY: &str = "CONCAT((SELECT system_identifier FROM pg_control_system()), '/', \
                        (SELECT oid FROM pg_database WHERE datname = current_database()))";

/// Records the database's identity. If it changed, the database is a copy: pauses requests to all providers, and
/// returns the former identity.
pub(crate) fn follow(conn: &mut Conn, now: i64) -> Result<Option<String>, OpenError> {
    let Some(identity) = read(conn)? else { return Ok(None) };
    let known: Vec<String> =
        database_identity::table.select(database_identity::identity).load(conn)?;
    if known.contains(&identity) {
        return Ok(None);
    }
    let before = known.into_iter().next();
    let noted = conn::write(conn, |conn| {
        diesel::delete(database_identity::table).execute(conn)?;
        // Another server may be starting at the same time.
        let row = database_identity::identity.eq(&identity);
        let insert = diesel::insert_into(database_identity::table).values(row);
        on_backend!(conn, |conn| insert.on_conflict_do_nothing().execute(conn))?;
        if before.is_some() {
            provider_states::pause_all(conn, MOVED, now)?;
        }
        Ok(())
    });
    noted.map_err(|error| OpenError::database(error.into()))?;
    Ok(before)
}

/// Reads the identity. Returns `None` on SQLite, without the right to read it, and on servers that do not support it.
fn read(conn: &mut Conn) -> QueryResult<Option<String>> {
    let Conn::Postgres(session) = conn else { return Ok(None) };
    match diesel::select(sql::<Text>(IDENTITY)).get_result(session) {
        Err(error) if Refusal::of(&error).is_some() => Ok(None),
        identity => identity.map(Some),
    }
}
