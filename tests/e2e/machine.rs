//! The machine on which the server runs: its configuration, files, users, signals, and the destination of the log.
//!
//! They do not depend on the database, so these tests run once, on SQLite.

mod command_line;
mod configuration;
mod logging;
mod other_user;
mod secret_files;
mod signals;
