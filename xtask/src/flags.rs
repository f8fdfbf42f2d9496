//! The command line of `cargo xtask`.
//!
//! Invariant: every command is listed by `cargo xtask --help`.

use std::path::PathBuf;

xflags::xflags! {
    /// Tasks of this workspace.
    cmd xtask {
        /// Measures the figures of BENCHMARKS.md; by default saves and gets, with yardsticks. Needs wrk.
        cmd bench {
            /// Measures saves and gets, with yardsticks; writes its part of BENCHMARKS.md and docs/latency.svg.
            default cmd store {
                /// Seconds for which each target is loaded in each round; 8 by default.
                optional --seconds number: u32
                /// Rounds, in each of which every target is loaded in turn; 3 by default.
                optional --rounds number: usize
                /// Records to save before the first get; 50,000 by default.
                optional --records number: usize
                /// `sqlite` or `postgres`; only prints the figures.
                optional --only backend: String
                /// Also measures a start with a million records, and gets among ten million: minutes, and gigabytes.
                optional --large
            }
            /// Measures the calls a second of each scheme of authentication.
            cmd schemes {
                /// Seconds for which each scheme is loaded in each round; 5 by default.
                optional --seconds number: u32
            }
            /// Measures whether the time of a refusal reveals an unknown user.
            cmd logins {
                /// Sign-ins to time; 10,000 by default.
                optional --samples number: usize
            }
            /// Measures the cost and the speed of refreshes.
            cmd grants {
                /// Seconds for which gets are loaded in each round; 5 by default.
                optional --seconds number: u32
                /// Expired records to refresh; 10,000 by default.
                optional --records number: usize
                /// A server of an earlier version, whose gets are measured in turns with those of this one.
                optional --before file: PathBuf
            }
            /// Measures the speed of a rotation of the master key, and its cost for calls.
            cmd rotation {
                /// Seconds for which each kind of call is loaded in each round; 5 by default.
                optional --seconds number: u32
                /// Records to re-wrap; 50,000 by default.
                optional --records number: usize
            }
        }
        /// Builds the book into target/book/html, and docs/reference/configuration.md from config/default.toml. Needs mdbook.
        cmd book {}
        /// Checks negotiate with each of its features alone, without each, and with none.
        cmd features {}
        /// Fuzzes the parsers of negotiate and provider; keeps the tried inputs in `fuzz/corpus`.
        cmd fuzz {
            /// The only target to run, such as `json`.
            optional target: String
            /// Seconds for which each target runs; 60 by default.
            optional --seconds number: u32
        }
        /// Changes the schema of a database that no server is using.
        cmd migrate {
            /// The database; by default, but not for revert and redo, that of `cargo run -p server`.
            optional --database url: String

            /// Runs the pending migrations.
            cmd run {}
            /// Reverts the latest migration, and deletes all data in the tables and columns that it created.
            cmd revert {}
            /// Reverts the latest migration, deletes all data in the tables and columns that it created, and runs it
            /// again.
            cmd redo {}
            /// Lists every migration and whether the database has it.
            cmd status {}
            /// Creates the files of a new migration, for every backend.
            cmd new {
                /// The purpose of the migration, such as `add_expiry`.
                required name: String
            }
        }
        /// Prints the tests that prove a line of CONTRACT.md.
        cmd contract {
            /// The line, such as `42` or `O1`.
            required line: String
        }
        /// Checks format, lints, layers, rooms, migrations, comments, words, links, spelling, dependencies and licences.
        cmd tidy {
            /// Only prints which room of a crate uses which, and the import cycles of files.
            optional --graph
        }
    }
}
