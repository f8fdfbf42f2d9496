//! End-to-end tests: a real server process, on a free port, with a SQLite database of its own.
//! `postgres.rs` runs them on PostgreSQL.
//!
//! Invariant: whatever a test does, no secret is in the server's log afterwards; `TestApp` looks for
//! them when it goes.

mod administration;
mod api_index;
mod app;
mod applications;
mod backups;
mod basic;
mod bearer;
mod certificates;
mod client;
mod clock;
mod configuration;
mod connections;
mod credential_places;
mod database_file;
mod disconnects;
mod durability;
mod encodings;
mod errors;
mod every_route;
mod expiry;
mod fail_closed;
mod faulty_disk;
mod formats;
mod guessing;
mod hardware_keys;
mod idempotency;
mod issuer;
mod key_rotation;
mod key_wraps;
mod keys;
mod kills;
mod languages;
mod load;
mod log_sweep;
mod logging;
mod master_key;
mod matrix;
mod memory;
mod negotiation;
mod nonces;
mod official_client;
mod outbound;
mod outage;
mod outage_log;
mod overload;
mod parts;
mod paths;
mod principal;
mod raw;
mod read_only_disk;
mod records;
mod request_headers;
mod revocation;
mod save_and_get;
mod seal;
mod seal_format;
mod seal_proof;
mod sessions;
mod shutdown;
mod signals;
mod sizes;
mod smuggling;
mod so_ticket;
mod sqlite_database;
mod sqlite_tables;
mod start;
mod throttling;
mod verify;
mod visitor;
mod write_ahead_log;

use sqlite_database::Database;
