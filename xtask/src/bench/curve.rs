//! The time of a call, by the number of connections that call.
//!
//! Invariant: at each number of connections every target is loaded before the next number.

use std::fmt::Write as _;

use xshell::Shell;

use super::target::{Kind, Target, Work};

const CONNECTIONS: [u32; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// A target under a growing number of connections.
pub(super) struct Line {
    pub(super) kind: Kind,
    pub(super) work: Work,
    pub(super) points: Vec<Point>,
}

#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) connections: u32,
    pub(super) rate: f64,
    pub(super) p99_ms: f64,
}

pub(super) fn measure(
    shell: &Shell,
    targets: &[Target<'_>],
    seconds: u32,
) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    let stored: Vec<_> = targets.iter().filter(|target| target.kind != Kind::Bare).collect();
    for target in &stored {
        for work in [Work::Save, Work::Get] {
            lines.push((*target, Line { kind: target.kind, work, points: Vec::new() }));
        }
    }
    for connections in CONNECTIONS {
        eprintln!("latency at {connections} connections");
        for (target, line) in &mut lines {
            let figures = target.load(shell, line.work, connections, seconds)?;
            let (rate, p99_ms) = (figures.rate, figures.p99_ms);
            line.points.push(Point { connections, rate, p99_ms });
        }
    }
    Ok(lines.into_iter().map(|(_target, line)| line).collect())
}

/// Formats the lines for the terminal, for a run that writes no chart into the page.
pub(super) fn table(lines: &[Line]) -> String {
    let mut table =
        "| target | call | connections | calls/s | p99 |\n|---|---|--:|--:|--:|\n".to_owned();
    for Line { kind, work, points } in lines {
        for Point { connections, rate, p99_ms } in points {
            writeln!(
                table,
                "| {} | {} | {connections} | {rate:.0} | {p99_ms:.2} ms |",
                kind.name(),
                work.name()
            )
            .expect("writing to a string does not fail");
        }
    }
    table
}
