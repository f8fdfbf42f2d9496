//! The machine that the server runs on: its configuration, files, users, signals, and where the log goes.
//!
//! No database has a part in it, so it runs once, on SQLite.

mod configuration;
mod logging;
mod other_user;
mod secret_files;
mod signals;
