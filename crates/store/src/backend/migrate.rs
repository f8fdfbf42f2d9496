//! The schema's migrations, embedded per backend.
//!
//! Invariant: a database with a migration that this build does not know is never changed.

use std::{error::Error, thread, time::Duration};

use diesel::{
    RunQueryDsl as _,
    backend::Backend,
    dsl::sql,
    migration::{MigrationSource, MigrationVersion},
    pg::Pg,
    sql_types::{Bool, Text},
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tracing::info;

use crate::{
    OpenError,
    backend::{
        conn::{Conn, limited, on_backend},
        postgres::Session,
    },
};

const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// The most attempts to migrate a PostgreSQL database, and the pause between two.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// A migration's name and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The name of the migration's folder.
    pub name: String,
    /// Whether the database has it.
    pub is_applied: bool,
}

/// Runs the pending migrations and returns their names. If several servers do so at once, one runs them and the others
/// find nothing pending.
pub(crate) fn run(conn: &mut Conn) -> Result<Vec<String>, OpenError> {
    limited(conn, None, try_to_run)
}

fn try_to_run(conn: &mut Conn) -> Result<Vec<String>, OpenError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let outcome = pending(conn).and_then(|pending| {
            if pending.is_empty() {
                return Ok(pending);
            }
            let run = match conn {
                Conn::Sqlite(conn) => conn.run_pending_migrations(SQLITE).map(|_versions| ()),
                Conn::Postgres(conn) => {
                    require_create(conn)?;
                    conn.run_pending_migrations(POSTGRES).map(|_versions| ())
                }
            };
            run.map_err(|error| failed(conn, error)).map(|()| pending)
        });
        match (&outcome, &conn) {
            // A conflict with another server ends soon. A missing right persists, and then fails again.
            (Err(error), Conn::Postgres(_)) if attempts < ATTEMPTS && !error.lasts() => {
                info!(%error, "trying the migrations again, in case another server is running them");
                thread::sleep(PAUSE);
            }
            _ => return outcome,
        }
    }
}

/// Reverts the latest migration.
pub(crate) fn revert_last(conn: &mut Conn) -> Result<(), OpenError> {
    let reverted = match conn {
        Conn::Sqlite(conn) => conn.revert_last_migration(SQLITE).map(|_version| ()),
        Conn::Postgres(conn) => conn.revert_last_migration(POSTGRES).map(|_version| ()),
    };
    reverted.map_err(|error| failed(conn, error))
}

fn failed(conn: &Conn, error: Box<dyn Error + Send + Sync>) -> OpenError {
    let refused = match conn {
        Conn::Sqlite(_) => None,
        Conn::Postgres(session) => session.refused(),
    };
    OpenError::migration(error, refused)
}

/// Refuses a role that may not create tables. Since PostgreSQL 15 only the owner of the database may by default.
fn require_create(session: &mut Session) -> Result<(), OpenError> {
    let may = "COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE)";
    if diesel::select(sql::<Bool>(may)).get_result::<bool>(session)? {
        return Ok(());
    }
    let schema = "COALESCE(quote_ident(current_schema()), 'public')";
    let schema = diesel::select(sql::<Text>(schema)).get_result(session)?;
    Err(OpenError::MayNotCreate(schema))
}

/// Refuses a database with pending migrations.
pub(crate) fn require_current(conn: &mut Conn) -> Result<(), OpenError> {
    match pending(conn)?.into_iter().next() {
        Some(name) => Err(OpenError::Behind(name)),
        None => Ok(()),
    }
}

/// Returns whether no migration was run on it yet.
pub(crate) fn is_new(conn: &mut Conn) -> Result<bool, OpenError> {
    Ok(applied(conn)?.is_empty())
}

/// Returns whether the migration of this version was run.
pub(crate) fn is_applied(conn: &mut Conn, version: &str) -> Result<bool, OpenError> {
    Ok(applied(conn)?.contains(&MigrationVersion::from(version)))
}

fn pending(conn: &mut Conn) -> Result<Vec<String>, OpenError> {
    let pending = status(conn)?.into_iter().filter(|migration| !migration.is_applied);
    Ok(pending.map(|migration| migration.name).collect())
}

/// Refuses a database with a migration that this build does not know.
pub(crate) fn refuse_newer(conn: &mut Conn) -> Result<(), OpenError> {
    let known = known(conn)?;
    for version in applied(conn)? {
        if !known.iter().any(|(known_version, _name)| *known_version == version) {
            return Err(OpenError::Newer(version.to_string()));
        }
    }
    Ok(())
}

pub(crate) fn status(conn: &mut Conn) -> Result<Vec<Migration>, OpenError> {
    let applied = applied(conn)?;
    let known = known(conn)?;
    let status = |(version, name)| Migration { name, is_applied: applied.contains(&version) };
    Ok(known.into_iter().map(status).collect())
}

/// Returns the versions of the applied migrations. Does not use diesel for this, because diesel creates its table if it
/// is missing, and a look must not need the right to create.
fn applied(conn: &mut Conn) -> Result<Vec<MigrationVersion<'static>>, OpenError> {
    let table = match conn {
        Conn::Sqlite(_) => {
            "EXISTS (SELECT 1 FROM sqlite_master WHERE name = '__diesel_schema_migrations')"
        }
        Conn::Postgres(_) => {
            // Also true if the role has no rights on the table; then the next query reports that.
            "EXISTS (SELECT 1 FROM pg_tables
                WHERE schemaname = current_schema() AND tablename = '__diesel_schema_migrations')"
        }
    };
    let versions = "SELECT version FROM __diesel_schema_migrations ORDER BY version";
    let versions: Vec<String> = on_backend!(conn, |conn| {
        if !diesel::select(sql::<Bool>(table)).get_result::<bool>(conn)? {
            return Ok(Vec::new());
        }
        sql::<Text>(versions).load(conn)?
    });
    Ok(versions.into_iter().map(MigrationVersion::from).collect())
}

/// Returns the versions and names of this build's migrations, oldest first.
fn known(conn: &Conn) -> Result<Vec<(MigrationVersion<'static>, String)>, OpenError> {
    let mut known = match conn {
        Conn::Sqlite(_) => names::<Sqlite>(SQLITE),
        Conn::Postgres(_) => names::<Pg>(POSTGRES),
    }
    .map_err(OpenError::Migration)?;
    known.sort();
    Ok(known)
}

fn names<DB: Backend>(
    migrations: EmbeddedMigrations,
) -> diesel::migration::Result<Vec<(MigrationVersion<'static>, String)>> {
    let migrations = MigrationSource::<DB>::migrations(&migrations)?;
    let names = migrations.iter().map(|migration| migration.name());
    Ok(names.map(|name| (name.version().as_owned(), name.to_string())).collect())
}
