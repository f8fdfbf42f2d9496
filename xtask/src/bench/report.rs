//! The part of BENCHMARKS.md that `cargo xtask bench` writes.
//!
//! Invariant: the text outside the two markers stays unchanged.

use std::{fmt::Write as _, fs, thread};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::{
    CONNECTIONS,
    aims::{self, Aim},
    large::Large,
    store::{Plan, Row},
    target::{Figures, Kind, Work},
};

const BEGIN: &str = "<!-- store: begin -->\n";
const END: &str = "<!-- store: end -->";

/// All measured figures, for the page.
pub(super) struct Results {
    pub(super) rows: Vec<Row>,
    pub(super) large: Option<Large>,
}

/// Returns the page with this text between its markers.
pub(super) fn splice(page: &str, text: &str) -> anyhow::Result<String> {
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.with_context(|| format!("the page lacks {BEGIN} or {END}"))?;
    Ok(format!("{before}{BEGIN}{text}{END}{after}"))
}

/// Returns the text between the markers.
pub(super) fn text(
    shell: &Shell,
    plan: &Plan,
    results: &Results,
    chart: &str,
) -> anyhow::Result<String> {
    let mut text = circumstances(shell, plan)?;
    text += &rates(&results.rows);
    text += &memory(&results.rows);
    text += &failures(&results.rows);
    text += &judged(&aims::of(results));
    let alt = "p99 by calls a second, from 1 to 128 connections";
    writeln!(text, "![{alt}]({chart})\n")?;
    Ok(text)
}

/// Describes the time, the machine and the plan of the run.
fn circumstances(shell: &Shell, plan: &Plan) -> anyhow::Result<String> {
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let commit = cmd!(shell, "git rev-parse --short HEAD").quiet().read()?;
    // Files that this command writes do not count as changes.
    let changes =
        cmd!(shell, "git status --porcelain -- . :!BENCHMARKS.md :!docs").quiet().read()?;
    let changed = if changes.is_empty() { "" } else { " with changes" };
    let cores = thread::available_parallelism()?;
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model =
        processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    let kernel = cmd!(shell, "uname -sr").quiet().read()?;
    let Plan { seconds, rounds, records, .. } = plan;
    let large = if plan.is_large { " --large" } else { "" };
    let only = plan.only.map_or("", |kind| {
        if kind == Kind::Sqlite { " --only sqlite" } else { " --only postgres" }
    });
    Ok(format!(
        "Measured on {date} at {commit}{changed}, on {cores} cores of {model}, {kernel},\n\
         the load generator on the same cores:\n\
         `cargo xtask bench --seconds {seconds} --rounds {rounds} --records {records}{only}{large}`.\n\n"
    ))
}

fn rates(rows: &[Row]) -> String {
    let mut text =
        "| call | target | calls/s | mean | p50 | p99 | server, a call | PostgreSQL, a call |\n\
                    |---|---|--:|--:|--:|--:|--:|--:|\n"
            .to_owned();
    for work in [Work::Save, Work::Get] {
        for row in rows {
            let figures = if work == Work::Save { &row.save } else { &row.get };
            text += &rate(&format!("{}, {CONNECTIONS} connections", work.name()), row, figures);
        }
    }
    for row in rows {
        if let Some(alone) = &row.alone {
            text += &rate("save, one connection", row, alone);
        }
    }
    text + "\n"
}

fn rate(call: &str, row: &Row, figures: &Figures) -> String {
    let processor =
        |used: Option<f64>| used.map_or("–".to_owned(), |used| format!("{used:.0} µs"));
    format!(
        "| {call} | {} | {} | {:.2} ms | {:.2} ms | {:.2} ms | {} | {} |\n",
        row.kind.name(),
        thousands(figures.rate),
        figures.mean_ms,
        figures.p50_ms,
        figures.p99_ms,
        processor(figures.server_processor),
        processor(figures.database_processor)
    )
}

fn memory(rows: &[Row]) -> String {
    let mut text =
        "| target | resident, idle | resident, at most | write-ahead log of SQLite, at most |\n\
         |---|--:|--:|--:|\n"
            .to_owned();
    for row in rows {
        let Some((idle, peak)) = row.memory else { continue };
        let log = match row.save.log_bytes {
            0 => "–".to_owned(),
            bytes => megabytes(bytes),
        };
        let (name, idle, peak) = (row.kind.name(), megabytes(idle), megabytes(peak));
        text += &format!("| {name} | {idle} | {peak} | {log} |\n");
    }
    text + "\n"
}

/// Lists the targets that did not answer all calls.
fn failures(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let failures = row.save.failures + row.get.failures;
        if failures > 0 {
            let (name, failures) = (row.kind.name(), thousands(failures as f64));
            text += &format!("{name}: {failures} calls failed, which are no part of its rate.\n\n");
        }
    }
    text
}

fn judged(aims: &[Aim]) -> String {
    let mut text = "| | aim | measured | reached |\n|---|--:|--:|---|\n".to_owned();
    for Aim { what, aim, measured, is_reached } in aims {
        let reached = match is_reached {
            None => "–",
            Some(true) => "yes",
            Some(false) => "no",
        };
        text += &format!("| {what} | {aim} | {measured} | {reached} |\n");
    }
    text + "\n"
}

/// Formats a whole number, with commas.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_written() {
        let page = format!("# A\n\n{BEGIN}old\n{END}\n\nB\n");
        let spliced = splice(&page, "new\n").expect("markers");
        assert_eq!(spliced, format!("# A\n\n{BEGIN}new\n{END}\n\nB\n"));
        assert!(splice(&format!("{END}{BEGIN}"), "new").is_err(), "in the wrong order");
    }

    #[test]
    fn the_page_has_the_markers() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../BENCHMARKS.md");
        splice(&fs::read_to_string(page).expect("page"), "").expect("markers");
    }

    #[test]
    fn thousands_have_commas() {
        for (number, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (123_456.7, "123,457"),
            (1e6, "1,000,000"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
