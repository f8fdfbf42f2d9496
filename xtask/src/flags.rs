//! The command line of `cargo xtask`.
//!
//! Invariant: every command is listed by `cargo xtask --help`.

use std::path::PathBuf;

xflags::xflags! {
    /// Tasks of this workspace.
    cmd xtask {
        /// Measures what BENCHMARKS.md says; by itself saves and gets, beside yardsticks. Needs wrk.
        cmd bench {
            /// Saves and gets, beside yardsticks; writes its part of BENCHMARKS.md and docs/latency.svg.
            default cmd store {
                /// How long each is loaded in each round; 8 by default.
                optional --seconds number: u32
                /// How often each is loaded, in turns; 3 by default.
                optional --rounds number: usize
                /// Records that there are before anything is got; 50,000 by default.
                optional --records number: usize
                /// `sqlite` or `postgres`; figures are then printed only.
                optional --only backend: String
                /// Also the start with a million records and gets among ten million: minutes, and gigabytes.
                optional --large
            }
            /// Calls a second by each scheme of authentication.
            cmd schemes {
                /// How long each is loaded in each round; 5 by default.
                optional --seconds number: u32
            }
            /// Whether an unknown user is told by the time that it takes.
            cmd logins {
                /// How many sign-ins are timed; 10,000 by default.
                optional --samples number: usize
            }
            /// What a refresh of tokens costs, and how fast it is.
            cmd grants {
                /// How long gets are loaded in each round; 5 by default.
                optional --seconds number: u32
                /// Expired records that are refreshed; 10,000 by default.
                optional --records number: usize
                /// A server of an earlier version, whose gets are measured in turns with those of this one.
                optional --before file: PathBuf
            }
            /// How fast a rotation of the master key is, and what it costs calls.
            cmd rotation {
                /// How long each is loaded in each round; 5 by default.
                optional --seconds number: u32
                /// Records that are wrapped anew; 50,000 by default.
                optional --records number: usize
            }
        }
        /// Builds the book into target/book/html, and docs/reference/configuration.md from config/default.toml. Needs mdbook.
        cmd book {}
        /// Fuzzes the parsers of negotiate and provider; what was tried is kept in `fuzz/corpus`.
        cmd fuzz {
            /// The only target to run, such as `json`.
            optional target: String
            /// How long each target runs; 60 by default.
            optional --seconds number: u32
        }
        /// Changes the schema of a database that no server is using.
        cmd migrate {
            /// The database; by default, but not for revert and redo, that of `cargo run -p server`.
            optional --database url: String

            /// Runs what is pending.
            cmd run {}
            /// Reverts the latest migration, and all data in what it created.
            cmd revert {}
            /// Reverts the latest migration, with all data in what it created, and runs it again.
            cmd redo {}
            /// Lists every migration and whether the database has it.
            cmd status {}
            /// Makes the files of a new migration, for every backend.
            cmd new {
                /// What it does, such as `add_expiry`.
                required name: String
            }
        }
        /// Prints the tests that show a line of CONTRACT.md.
        cmd contract {
            /// The line, such as `42` or `O1`.
            required line: String
        }
        /// Checks format, lints, layers, rooms, migrations, module docs and licences.
        cmd tidy {
            /// Only prints which room of a crate uses which, and which files import each other in a circle.
            optional --graph
        }
    }
}
