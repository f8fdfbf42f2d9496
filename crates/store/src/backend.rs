//! The databases: connections, transactions, migrations, and what is of one backend alone.
//!
//! Invariant: nothing here knows what is sealed.

pub(crate) mod conn;
pub(crate) mod database;
mod errors;
pub(crate) mod managed_conn;
pub(crate) mod migrate;
pub(crate) mod outage;
pub(crate) mod postgres;
pub(crate) mod sqlite;
