//! The databases: connections, transactions, migrations, and what is of one backend alone.
//!
//! Invariant: nothing here knows what is sealed.

pub(crate) mod conn;
pub(crate) mod database;
pub(crate) mod link;
pub mod migrate;
pub(crate) mod outage;
pub(crate) mod postgres;
pub(crate) mod sqlite;
