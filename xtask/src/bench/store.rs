//! `cargo xtask bench`: measures saves and gets together with the yardsticks, and writes the result into BENCHMARKS.md.
//!
//! Invariant: in each round every target is loaded once, so that drift affects all alike. A partial measurement changes
//! no file of the repository.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{bail, ensure};
use tempfile::TempDir;
use xshell::{Shell, cmd};

use super::{
    CONNECTIONS, chart,
    cluster::{self, Cluster},
    curve, large, need, report,
    target::{Figures, Kind, Target, Work},
};
use crate::flags::Store as Flags;

/// The page, and the chart that it shows.
const PAGE: &str = "BENCHMARKS.md";
const CHART: &str = "docs/latency.svg";
/// The chart of a partial measurement.
const PARTIAL_CHART: &str = "target/bench/latency.svg";
/// The time for which each point of the curve is loaded, unless the plan is shorter.
const CURVE_SECONDS: u32 = 3;

/// The targets to measure, and for how long.
pub(super) struct Plan {
    pub(super) seconds: u32,
    pub(super) rounds: usize,
    pub(super) records: usize,
    pub(super) only: Option<Kind>,
    pub(super) is_large: bool,
}

/// The medians of one target.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) save: Figures,
    pub(super) get: Figures,
    /// Saves at one connection.
    pub(super) alone: Option<Figures>,
    /// Resident bytes when idle and at most; of Latchkey and the yardsticks, not of PostgreSQL.
    pub(super) memory: Option<(u64, u64)>,
}

impl Plan {
    fn of(flags: &Flags) -> anyhow::Result<Self> {
        let only = match flags.only.as_deref() {
            None => None,
            Some("sqlite") => Some(Kind::Sqlite),
            Some("postgres") => Some(Kind::Postgres),
            Some(other) => bail!("--only {other}: it is `sqlite` or `postgres`"),
        };
        let plan = Self {
            seconds: flags.seconds.unwrap_or(8),
            rounds: flags.rounds.unwrap_or(3),
            records: flags.records.unwrap_or(50_000),
            only,
            is_large: flags.large,
        };
        ensure!(!plan.is_large || plan.has(Kind::Sqlite), "--large is about SQLite");
        let is_some = plan.seconds > 0 && plan.rounds > 0 && plan.records > 0;
        ensure!(is_some, "--seconds, --rounds and --records are at least 1");
        Ok(plan)
    }

    fn has(&self, kind: Kind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }
}

pub(super) fn run(shell: &Shell, flags: &Flags) -> anyhow::Result<()> {
    let plan = Plan::of(flags)?;
    let page = fs::read_to_string(PAGE)?;
    // An error in the page or the machine is reported before the work, not after it.
    report::splice(&page, "")?;
    check_tools(shell, &plan)?;
    let binaries = build(shell)?;
    let scratch = scratch(shell)?;
    let (rows, lines) = measure(shell, &plan, &binaries, scratch.path())?;
    let large = match plan.is_large {
        true => Some(large::measure(shell, &plan, &binaries, scratch.path())?),
        false => None,
    };
    let results = report::Results { rows, large };
    let text = report::text(shell, &plan, &results, CHART)?;
    println!("{text}");
    if plan.only.is_some() {
        println!("{}", curve::table(&lines));
        shell.write_file(PARTIAL_CHART, chart::svg(&lines))?;
        println!("wrote {PARTIAL_CHART} only");
        return Ok(());
    }
    fs::write(PAGE, report::splice(&page, &text)?)?;
    shell.write_file(CHART, chart::svg(&lines))?;
    println!("wrote {PAGE} and {CHART}");
    Ok(())
}

fn check_tools(shell: &Shell, plan: &Plan) -> anyhow::Result<()> {
    need(shell, "wrk", "wrk")?;
    if plan.has(Kind::Postgres) {
        cluster::binaries()?;
    }
    if plan.is_large {
        need(shell, "sqlite3", "sqlite3")?;
    }
    Ok(())
}

/// Builds the working tree for release, and returns the folder of the programs.
pub(super) fn build(shell: &Shell) -> anyhow::Result<PathBuf> {
    let target = shell.current_dir().join("target");
    // Separately, because otherwise both would get each other's features of a library.
    for package in ["server", "yardstick"] {
        cmd!(shell, "cargo build --release --locked -p {package} --target-dir {target}").run()?;
    }
    Ok(target.join("release"))
}

/// Creates a folder on a real disk, which PostgreSQL's user may enter too.
pub(super) fn scratch(shell: &Shell) -> anyhow::Result<TempDir> {
    let above = shell.create_dir(shell.current_dir().join("target/bench"))?;
    let kind = cmd!(shell, "stat -f -c %T {above}").quiet().read()?;
    ensure!(
        !matches!(&*kind, "tmpfs" | "ramfs"),
        "{} is in memory, not on a disk",
        above.display()
    );
    // The name is fixed, so that this removes the gigabytes of an interrupted run.
    shell.remove_path(above.join("store"))?;
    let scratch = tempfile::Builder::new().prefix("store").rand_bytes(0).tempdir_in(above)?;
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
    Ok(scratch)
}

/// Measures everything except the large database.
fn measure(
    shell: &Shell,
    plan: &Plan,
    binaries: &Path,
    scratch: &Path,
) -> anyhow::Result<(Vec<Row>, Vec<curve::Line>)> {
    let cluster = match plan.has(Kind::Postgres) {
        true => Some(Cluster::start(shell, &scratch.join("cluster"))?),
        false => None,
    };
    if let Some(cluster) = &cluster {
        cluster.prepare(shell, plan.records)?;
    }
    let targets = targets(plan, binaries, scratch, cluster.as_ref())?;
    let rows = rounds(shell, plan, &targets, cluster.as_ref())?;
    let lines = curve::measure(shell, &targets, plan.seconds.min(CURVE_SECONDS))?;
    Ok((rows, lines))
}

fn targets<'a>(
    plan: &Plan,
    binaries: &Path,
    scratch: &Path,
    cluster: Option<&'a Cluster>,
) -> anyhow::Result<Vec<Target<'a>>> {
    let mut kinds = Vec::new();
    if plan.has(Kind::Sqlite) {
        kinds.extend([Kind::Bare, Kind::Transactions, Kind::Sqlite]);
    }
    if plan.has(Kind::Postgres) {
        kinds.push(Kind::Postgres);
    }
    let start = |kind: Kind| {
        eprintln!("{}: saving {} records", kind.name(), plan.records);
        let folder = scratch.join(format!("{kind:?}"));
        let cluster = cluster.filter(|_cluster| kind == Kind::Postgres);
        Target::start(kind, binaries, &folder, cluster, plan.records)
    };
    kinds.into_iter().map(start).collect()
}

/// The figures of one target in all rounds.
#[derive(Default)]
struct Series {
    save: Vec<Figures>,
    get: Vec<Figures>,
    alone: Vec<Figures>,
}

impl Series {
    fn row(&self, kind: Kind, memory: Option<(u64, u64)>) -> Row {
        let alone = (!self.alone.is_empty()).then(|| Figures::median(&self.alone));
        let (save, get) = (Figures::median(&self.save), Figures::median(&self.get));
        Row { kind, save, get, alone, memory }
    }
}

fn rounds(
    shell: &Shell,
    plan: &Plan,
    targets: &[Target<'_>],
    cluster: Option<&Cluster>,
) -> anyhow::Result<Vec<Row>> {
    let mut all: Vec<Series> = targets.iter().map(|_target| Series::default()).collect();
    let mut pgbench = Series::default();
    for round in 1..=plan.rounds {
        for (target, series) in targets.iter().zip(&mut all) {
            eprintln!("round {round}: {}", target.kind.name());
            let load = |work, connections| target.load(shell, work, connections, plan.seconds);
            series.save.push(load(Work::Save, CONNECTIONS)?);
            series.get.push(load(Work::Get, CONNECTIONS)?);
            if matches!(target.kind, Kind::Transactions | Kind::Sqlite) {
                series.alone.push(load(Work::Save, 1)?);
            }
        }
        if let Some(cluster) = cluster {
            eprintln!("round {round}: pgbench");
            pgbench.save.push(cluster.pgbench(shell, "insert.sql", plan.seconds)?);
            pgbench.get.push(cluster.pgbench(shell, "select.sql", plan.seconds)?);
        }
    }
    let mut rows = Vec::new();
    for (target, series) in targets.iter().zip(all) {
        let memory = (target.idle_bytes, target.peak_bytes()?);
        rows.push(series.row(target.kind, Some(memory)));
    }
    if cluster.is_some() {
        rows.push(pgbench.row(Kind::Pgbench, None));
    }
    Ok(rows)
}
