//! `cargo xtask bench logins`: tests whether the time of a refusal reveals which users exist.
//!
//! Invariant: the two kinds of sign-in are measured in turns, in one process.

use std::time::Instant;

use anyhow::ensure;
use xshell::Shell;

use super::{
    median,
    process::{Server, latchkey},
    schemes::build,
};

const WHO: &str = "/api/v1/User/currentPrincipal";

/// Measures whether the time of a refusal reveals an unknown user.
pub(super) fn run(shell: &Shell, samples: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(latchkey(&build(shell, false)?, folder.path()))?;
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..samples {
        // In turns, and each first as often as second, so that a drift affects both alike.
        let order = if number % 4 < 2 { [0, 1] } else { [1, 0] };
        let which = order[number % 2];
        let authorization =
            ["Basic dGplMDp3cm9uZy1wYXNzd29yZA==", "Basic dWplMDp3cm9uZy1wYXNzd29yZA=="][which];
        let began = Instant::now();
        let (status, _) = server.call("GET", WHO, authorization, "")?;
        times[which].push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(status == 401, "the answer was {status}");
    }
    let [known, unknown] = times.map(trimmed);
    let (mean_known, variance_known) = moments(&known);
    let (mean_unknown, variance_unknown) = moments(&unknown);
    let error =
        (variance_known / known.len() as f64 + variance_unknown / unknown.len() as f64).sqrt();
    let difference = mean_unknown - mean_known;
    println!("{} samples, the slowest 5 % of each kind left out", samples);
    println!("wrong password: mean {mean_known:.3} ms, median {:.3} ms", median(known));
    println!("unknown user:   mean {mean_unknown:.3} ms, median {:.3} ms", median(unknown));
    println!("difference {difference:.4} ms, Welch's t = {:.2}", difference / error);
    Ok(())
}

/// Removes the slowest 5 %, which depend on the machine and not on the server.
fn trimmed(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() * 95 / 100);
    times
}

/// Returns mean and variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, squares / (count - 1.0))
}
