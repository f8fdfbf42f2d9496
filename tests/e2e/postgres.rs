//! Tests of PostgreSQL alone: a cluster of the tests' own, servers that share a database, and copies from and to
//! SQLite.

mod access;
mod authorizations;
pub(crate) mod cluster;
mod cluster_faults;
mod copies;
pub(crate) mod database;
mod faults;
mod key_servers;
mod lookups;
mod migrations;
mod pgbouncer;
pub(crate) mod proxy;
mod refreshes;
mod revocations;
pub(crate) mod servers;
mod tls;
mod webhooks;
