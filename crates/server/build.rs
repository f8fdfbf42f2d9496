//! Names the commit that this program is built from, and its date, for `latchkey --version`.
//!
//! Invariant: the same source and the same variables give the same text. A build without git, such as from a tarball,
//! has the version alone.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    println!("cargo::rerun-if-env-changed=LATCHKEY_COMMIT");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    let version = variable("CARGO_PKG_VERSION").unwrap_or_default();
    // Otherwise each commit would compile the server of a developer again.
    let is_release = variable("PROFILE").is_some_and(|profile| profile == "release");
    let commit = variable("LATCHKEY_COMMIT");
    let commit =
        commit.or_else(|| is_release.then(|| git(&["rev-parse", "--short=12", "HEAD"])).flatten());
    let seconds = variable("SOURCE_DATE_EPOCH");
    let seconds =
        seconds.or_else(|| is_release.then(|| git(&["log", "-1", "--format=%ct"])).flatten());
    if is_release {
        watch_commit();
    }
    let date = seconds.and_then(|text| text.trim().parse().ok()).map(date);
    let known: Vec<String> = commit.into_iter().chain(date).collect();
    match &known[..] {
        [] => println!("cargo::rustc-env=LATCHKEY_VERSION={version}"),
        known => println!("cargo::rustc-env=LATCHKEY_VERSION={version} ({})", known.join(", ")),
    }
}

#[allow(clippy::disallowed_methods, reason = "a build script has no other configuration")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn git(arguments: &[&str]) -> Option<String> {
    // A tarball may lie within another repository.
    if !Path::new("../../.git").exists() {
        return None;
    }
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Runs this script again after another commit.
fn watch_commit() {
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]).map(PathBuf::from);
    if let Some(log) = log.filter(|log| fs::metadata(log).is_ok()) {
        println!("cargo::rerun-if-changed={}", log.display());
    }
}

/// The date of a time in seconds since 1970 UTC, as year, month and day.
fn date(seconds: i64) -> String {
    // The algorithm of Howard Hinnant's `civil_from_days`.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = years + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
