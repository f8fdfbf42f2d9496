//! The end-to-end tests on PostgreSQL: what `main.rs` lists for both databases, and PostgreSQL's own.
//!
//! Invariant: without PostgreSQL the run ends and says so; no test seems to have passed.

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

// What only PostgreSQL has.
mod postgres;

use postgres::database::Database;
