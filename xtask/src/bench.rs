//! `cargo xtask bench`: measures the figures of BENCHMARKS.md.
//!
//! Invariant: figures that are compared come from one run, in turns; the result is a ratio.

mod aims;
mod chart;
mod cluster;
mod curve;
mod grants;
mod large;
mod load;
mod logins;
mod process;
mod report;
mod rotation;
mod schemes;
mod store;
mod target;
mod usage;

use anyhow::ensure;
use serde_json::json;
use xshell::{Shell, cmd};

use crate::flags::{Bench, BenchCmd, Grants, Logins, Rotation, Schemes};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const GET: &str = "/api/v1/Agents/User/GetExternalTokens";
/// The sample login, tje0 / Tje0.
const BASIC: &str = "Basic dGplMDpUamUw";
const CONNECTIONS: u32 = 64;

pub(crate) fn run(shell: &Shell, bench: Bench) -> anyhow::Result<()> {
    match bench.subcommand {
        BenchCmd::Store(flags) => store::run(shell, &flags),
        BenchCmd::Schemes(Schemes { seconds }) => schemes::run(shell, seconds.unwrap_or(5)),
        BenchCmd::Logins(Logins { samples }) => logins::run(shell, samples.unwrap_or(10_000)),
        BenchCmd::Grants(Grants { seconds, records, before }) => {
            let (seconds, records) = (seconds.unwrap_or(5), records.unwrap_or(10_000));
            grants::run(shell, seconds, records, before.as_deref())
        }
        BenchCmd::Rotation(Rotation { seconds, records }) => {
            rotation::run(shell, seconds.unwrap_or(5), records.unwrap_or(50_000))
        }
    }
}

/// Returns the body of a save: a record of 2 KB.
fn record() -> String {
    let carrier = json!({
        "Provider": "et", "AccessToken": "a".repeat(1000), "RefreshToken": "r".repeat(1000)
    });
    json!({ "TokenManagementInfo": carrier }).to_string()
}

/// Stops before any measurement if a program is missing.
fn need(shell: &Shell, tool: &str, package: &str) -> anyhow::Result<()> {
    let found = cmd!(shell, "which {tool}").quiet().ignore_stdout().run();
    ensure!(found.is_ok(), "{tool} is not installed (Debian's package `{package}`)");
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
