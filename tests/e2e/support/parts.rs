//! Programs that not every machine has: Node, Python, PHP, PostgreSQL, a mountable file system, curl, jq, sqlite3.
//!
//! Invariant: a test that is left out prints the reason. With `LATCHKEY_TEST_REQUIRE=all` it fails instead.

use std::io::{self, Write as _};

/// Says that the calling test is left out because of `missing`.
///
/// # Panics
/// With `LATCHKEY_TEST_REQUIRE=all`.
pub(crate) fn leave_out(test: &str, missing: &str) {
    assert!(!all_are_required(), "{test} needs {missing}");
    // Not by `eprintln!`, because the output of a test is shown only when it fails.
    let said = format!("left out: {test} needs {missing}\n");
    let _ = io::stderr().write_all(said.as_bytes());
}

/// Whether a program can be run.
pub(crate) fn has(program: &str) -> bool {
    let probe =
        std::process::Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    probe.is_ok_and(|output| output.status.success())
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    let output = std::process::Command::new("id").arg("-u").output().expect("id");
    output.stdout.trim_ascii() == b"0"
}

/// The number of rounds of a long test: `whole`, or a fifth of it with `LATCHKEY_TEST_ROUNDS=few`.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the server")]
pub(crate) fn rounds(whole: usize) -> usize {
    let are_few = std::env::var("LATCHKEY_TEST_ROUNDS").is_ok_and(|rounds| rounds == "few");
    if are_few { whole / 5 } else { whole }
}

#[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the server")]
fn all_are_required() -> bool {
    std::env::var("LATCHKEY_TEST_REQUIRE").is_ok_and(|parts| parts == "all")
}
