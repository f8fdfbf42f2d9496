//! End-to-end tests: a real server process, on a free port, with its own SQLite database. `on_postgres.rs` runs those
//! of the first list on PostgreSQL too.
//!
//! Invariant: after every test the server's log contains no secret. `TestApp` searches the log when it is dropped.

// On both databases.
mod callers;
mod faults;
mod grants;
mod keys;
mod operation;
mod providers;
mod records;
mod support;
mod webhooks;
mod wire;

// Tests of SQLite alone, and tests that do not depend on the database.
mod documents;
mod machine;
mod network;
mod sqlite;

use sqlite::database::Database;
