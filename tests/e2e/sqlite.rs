//! Tests of SQLite alone: a file, its write-ahead log, the disk below it, backups.

mod backups;
pub(crate) mod database;
mod database_file;
mod faulty_disk;
mod nonces;
mod other_program;
mod own_backups;
mod read_only_disk;
mod refreshes;
mod write_ahead_log;
