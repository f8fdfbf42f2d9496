//! The end-to-end tests on PostgreSQL: those that `main.rs` lists for both databases, and PostgreSQL's own.
//!
//! Invariant: without PostgreSQL the run ends with a message, so that no test seems to have passed.

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

// Tests of PostgreSQL alone.
mod postgres;

use postgres::database::Database;
