//! End-to-end tests: a real server process, on a free port, with a SQLite database of its own.
//! `on_postgres.rs` runs those of the first list on PostgreSQL too.
//!
//! Invariant: whatever a test does, no secret is in the server's log afterwards; `TestApp` looks for
//! them when it goes.

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

// What only SQLite has, and what no database has a part in.
mod documents;
mod machine;
mod network;
mod sqlite;

use sqlite::database::Database;
