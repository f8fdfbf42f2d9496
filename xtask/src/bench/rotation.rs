//! `cargo xtask bench rotation`: measures how fast data keys are re-wrapped, and the cost for calls during that time.
//!
//! Invariant: gets and saves are measured on the same server with and without a rotation, in turns.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use anyhow::ensure;
use xshell::Shell;

use super::{
    BASIC, CONNECTIONS, SAVE,
    load::{Call, Outcome, Script},
    median, need,
    process::{Server, latchkey},
    record, store, target,
};

const ROUNDS: usize = 3;

pub(super) fn run(shell: &Shell, seconds: u32, records: usize) -> anyhow::Result<()> {
    need(shell, "wrk", "wrk")?;
    let binary = store::build(shell)?.join("latchkey");
    let folder = store::scratch(shell)?;
    let folder = folder.path();
    let server = Server::start(latchkey(&binary, folder))?;
    let get = target::fill(&server, folder, records)?;
    let save = Call { path: SAVE, authorization: BASIC };
    let save = Script::same(folder.join("save.lua"), save, &record())?;

    let mut rates = Vec::new();
    for round in 1..=ROUNDS {
        eprintln!("round {round}: a rotation alone");
        let began = Instant::now();
        rotate(&binary, folder)?;
        rates.push(records as f64 / began.elapsed().as_secs_f64());
    }
    println!("{records} records of 2 KB; a rotation alone wraps {:.0} a second.\n", median(rates));
    println!("| call, {CONNECTIONS} connections | rotation | calls/s | p99 |");
    println!("|---|---|--:|--:|");
    for (name, script) in [("get", &get), ("save", &save)] {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            eprintln!("round {round}: {name} with and without a rotation");
            let load = || script.run(shell, &server.address, CONNECTIONS, seconds);
            without.push(load()?);
            with.push(during_rotations(&binary, folder, load)?);
        }
        for (rotation, outcomes) in [("none", without), ("under way", with)] {
            let failures: u64 = outcomes.iter().map(|outcome| outcome.failures).sum();
            ensure!(failures == 0, "{failures} calls failed");
            let of = |figure: fn(&Outcome) -> f64| median(outcomes.iter().map(figure).collect());
            let (rate, p99) = (of(|outcome| outcome.rate), of(|outcome| outcome.p99_ms));
            println!("| {name} | {rotation} | {rate:.0} | {p99:.2} ms |");
        }
    }
    server.stop()
}

/// Rotates repeatedly while `load` runs.
fn during_rotations<T>(
    binary: &Path,
    folder: &Path,
    load: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let rotations = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                rotate(binary, folder)?;
            }
            anyhow::Ok(())
        });
        let outcome = load();
        is_over.store(true, Ordering::Relaxed);
        rotations.join().expect("rotating does not panic")?;
        outcome
    })
}

fn rotate(binary: &Path, folder: &Path) -> anyhow::Result<()> {
    let rotated = latchkey(binary, folder).args(["keys", "rotate"]).output()?;
    let told = String::from_utf8_lossy(&rotated.stderr);
    ensure!(rotated.status.success(), "the rotation failed: {told}");
    Ok(())
}
