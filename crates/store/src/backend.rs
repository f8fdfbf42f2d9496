//! Database backends: connections, transactions, migrations, and code for a single backend.
//!
//! Invariant: no file in this room handles plaintext tokens or keys.

pub(crate) mod conn;
pub(crate) mod database;
mod errors;
pub(crate) mod managed_conn;
pub(crate) mod migrate;
pub(crate) mod outage;
pub(crate) mod postgres;
pub(crate) mod sqlite;
