//! The machine that the server runs on: its configuration, files, users, signals, and where the log goes.
//!
//! They do not depend on the database, so these tests run once, on SQLite.

mod configuration;
mod logging;
mod other_user;
mod secret_files;
mod signals;
