//! `cargo xtask fuzz`: feeds the parsers of negotiate and provider with the inputs of a coverage-guided fuzzer.
//!
//! Invariant: a target that finds something fails the command, and the input is kept and named.

use std::{
    iter,
    num::NonZero,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context as _, bail, ensure};
use xshell::{Shell, cmd};

use crate::flags::Fuzz;

/// Separate from all other builds, whose flags differ.
const BUILD: &str = "target/fuzz";
/// Makes the compiler report branches and comparisons to libFuzzer, as cargo-fuzz does on nightly.
const RUSTFLAGS: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares \
     -Cllvm-args=-simplifycfg-branch-fold-threshold=0";
const OPTIONS: [&str; 6] = [
    "-dict=fuzz/dictionary",
    "-max_len=65536",
    "-print_final_stats=1",
    "-rss_limit_mb=512",
    "-timeout=10",
    "-verbosity=0",
];
const DEFAULT_SECONDS: u32 = 60;

pub(crate) fn run(shell: &Shell, flags: Fuzz) -> anyhow::Result<()> {
    let mut targets = targets(shell)?;
    if let Some(wanted) = flags.target {
        let known = targets.join(", ");
        targets.retain(|target| *target == wanted);
        ensure!(!targets.is_empty(), "there is no target {wanted}; there are {known}");
    }
    let folder = build(shell)?;
    let seconds = flags.seconds.unwrap_or(DEFAULT_SECONDS);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let (found, findings) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..cores {
            let (found, next, targets, folder) = (found.clone(), &next, &targets, &folder);
            scope.spawn(move || {
                let waiting = iter::from_fn(|| targets.get(next.fetch_add(1, Ordering::Relaxed)));
                for target in waiting {
                    match fuzz(folder, target, seconds) {
                        Ok(told) => println!("{target}: {told}"),
                        Err(error) => found.send(format!("{target}: {error:#}")).unwrap_or(()),
                    }
                }
            });
        }
    });
    drop(found);
    let findings: Vec<String> = findings.into_iter().collect();
    ensure!(findings.is_empty(), "{}", findings.join("\n"));
    Ok(())
}

fn targets(shell: &Shell) -> anyhow::Result<Vec<String>> {
    let files = shell.read_dir("fuzz/targets")?;
    let names = files.iter().filter_map(|file| file.file_stem()?.to_str());
    Ok(names.map(str::to_owned).collect())
}

/// Builds all targets, and returns their folder.
fn build(shell: &Shell) -> anyhow::Result<String> {
    let compiler = cmd!(shell, "c++ --version").quiet().ignore_stderr().read();
    ensure!(compiler.is_ok(), "libFuzzer needs a C++ compiler (Debian: `g++`)");
    let host = cmd!(shell, "rustc --print host-tuple").quiet().read()?;
    cmd!(shell, "cargo build --quiet --locked --release --manifest-path fuzz/Cargo.toml")
        .args(["--target", &host, "--target-dir", BUILD])
        .env("RUSTFLAGS", RUSTFLAGS)
        .run()?;
    Ok(format!("{BUILD}/{host}/release"))
}

/// Runs a target, and returns a text about the result.
fn fuzz(folder: &str, target: &str, seconds: u32) -> anyhow::Result<String> {
    let shell = Shell::new()?;
    let corpus = shell.create_dir(format!("fuzz/corpus/{target}"))?;
    // The seeds are read, and never written.
    let seeds = Some(format!("fuzz/seeds/{target}")).filter(|seeds| shell.path_exists(seeds));
    let artifacts = format!("fuzz/artifacts/{target}/");
    shell.create_dir(&artifacts)?;
    let output = cmd!(shell, "{folder}/{target} {corpus} {seeds...} -artifact_prefix={artifacts}")
        .args(OPTIONS)
        .arg(format!("-max_total_time={seconds}"))
        .env("RUST_BACKTRACE", "1")
        .quiet()
        .ignore_status()
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprint!("{log}");
        // A stack overflow ends the process before it can write anything.
        let artifact = log.lines().find_map(|line| Some(line.split_once("written to ")?.1));
        bail!("{}; the input: {}", output.status, artifact.unwrap_or("lost"));
    }
    let stat = |name: &str| {
        let found = log.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
        let number = found.with_context(|| format!("it does not tell {name}"))?;
        anyhow::Ok(number.trim_matches([':', ' ']).to_owned())
    };
    Ok(format!(
        "{} runs, {} a second, {} new inputs, peak {} MB",
        stat("number_of_executed_units")?,
        stat("average_exec_per_sec")?,
        stat("new_units_added")?,
        stat("peak_rss_mb")?
    ))
}
