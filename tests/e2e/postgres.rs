//! The end-to-end tests on PostgreSQL: those of `main.rs` that are not about SQLite's files, and PostgreSQL's
//! own.
//!
//! Invariant: without PostgreSQL the run ends and says so; no test seems to have passed.

mod administration;
mod api_index;
mod app;
mod applications;
mod basic;
mod bearer;
mod client;
mod clock;
mod cluster;
mod disconnects;
mod durability;
mod encodings;
mod errors;
mod expiry;
mod formats;
mod hardware_keys;
mod idempotency;
mod issuer;
mod key_rotation;
mod key_servers;
mod key_wraps;
mod keys;
mod languages;
mod load;
mod master_key;
mod matrix;
mod negotiation;
mod official_client;
mod outage;
mod overload;
mod parts;
mod paths;
mod postgres_cluster;
mod postgres_database;
mod postgres_faults;
mod postgres_migrations;
mod postgres_servers;
mod postgres_tls;
mod principal;
mod proxy;
mod raw;
mod records;
mod request_headers;
mod revocation;
mod save_and_get;
mod seal;
mod sessions;
mod shutdown;
mod so_ticket;
mod start;
mod throttling;

use postgres_database::Database;
