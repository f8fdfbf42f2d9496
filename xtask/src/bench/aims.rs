//! The aims of the store, compared with the measured figures.
//!
//! Invariant: an aim is a ratio of one run, unless it is about the wait of a user or the size of a machine.

use super::{
    large::Large,
    report::{Results, megabytes},
    store::Row,
    target::{Figures, Kind},
};

/// A line of the table.
pub(super) struct Aim {
    pub(super) what: String,
    pub(super) aim: String,
    pub(super) measured: String,
    /// `None` if it was not measured, or has no aim.
    pub(super) is_reached: Option<bool>,
}

impl Aim {
    /// At least this multiple of the yardstick.
    fn at_least(what: &str, aim: f64, measured: Option<f64>) -> Self {
        let is_reached = measured.map(|ratio| ratio >= aim);
        Self::new(
            what,
            format!("≥ {aim} ×"),
            measured.map(|ratio| format!("{ratio:.2} ×")),
            is_reached,
        )
    }

    fn at_most(what: &str, aim: f64, unit: &str, measured: Option<f64>) -> Self {
        let is_reached = measured.map(|figure| figure <= aim);
        let measured = measured.map(|figure| format!("{figure:.2} {unit}"));
        Self::new(what, format!("≤ {aim} {unit}"), measured, is_reached)
    }

    fn new(what: &str, aim: String, measured: Option<String>, is_reached: Option<bool>) -> Self {
        let measured = measured.unwrap_or_else(|| "not measured".to_owned());
        Self { what: what.to_owned(), aim, measured, is_reached }
    }
}

pub(super) fn of(results: &Results) -> Vec<Aim> {
    let find = |kind| results.rows.iter().find(|row| row.kind == kind);
    let mut aims = sqlite(find(Kind::Sqlite), find(Kind::Transactions), find(Kind::Bare));
    aims.extend(postgres(find(Kind::Postgres), find(Kind::Pgbench)));
    for kind in [Kind::Sqlite, Kind::Postgres] {
        aims.extend(memory(kind.name(), find(kind)));
    }
    aims.extend(large(results.large.as_ref()));
    aims
}

fn sqlite(latchkey: Option<&Row>, transactions: Option<&Row>, bare: Option<&Row>) -> Vec<Aim> {
    let save = |row: &Row| Some(row.save);
    let get = |row: &Row| Some(row.get);
    let alone = |row: &Row| row.alone;
    let log = latchkey.map(|row| megabytes(row.save.log_bytes));
    vec![
        Aim::at_least("SQLite, save ÷ transactions", 7.0, ratio(latchkey, transactions, save)),
        Aim::at_least("SQLite, save ÷ bare", 0.35, ratio(latchkey, bare, save)),
        Aim::at_most("SQLite, p99 of a save", 12.0, "ms", latchkey.map(|row| row.save.p99_ms)),
        Aim::new("SQLite, largest write-ahead log", "–".to_owned(), log, None),
        Aim::at_least(
            "SQLite, save ÷ transactions, one connection",
            0.85,
            ratio(latchkey, transactions, alone),
        ),
        Aim::at_least("SQLite, get ÷ transactions", 1.5, ratio(latchkey, transactions, get)),
        Aim::at_least("SQLite, get ÷ bare", 0.5, ratio(latchkey, bare, get)),
        Aim::at_most("SQLite, p99 of a get", 5.0, "ms", latchkey.map(|row| row.get.p99_ms)),
    ]
}

fn postgres(latchkey: Option<&Row>, pgbench: Option<&Row>) -> Vec<Aim> {
    vec![
        Aim::at_least(
            "PostgreSQL, save ÷ pgbench insert",
            1.5,
            ratio(latchkey, pgbench, |row| Some(row.save)),
        ),
        Aim::at_least(
            "PostgreSQL, get ÷ pgbench select",
            1.0,
            ratio(latchkey, pgbench, |row| Some(row.get)),
        ),
    ]
}

fn memory(name: &str, row: Option<&Row>) -> Vec<Aim> {
    let memory = row.and_then(|row| row.memory);
    let idle = memory.map(|(idle, _)| idle as f64 / 1e6);
    let peak = memory.map(|(_, peak)| peak as f64 / 1e6);
    vec![
        Aim::at_most(&format!("{name}: memory under load"), 40.0, "MB", peak),
        Aim::at_most(&format!("{name}: memory when idle"), 20.0, "MB", idle),
    ]
}

fn large(large: Option<&Large>) -> Vec<Aim> {
    let start = large.map(|large| large.start_ms);
    let alone = large.map(|large| large.alone);
    let together = large.map(|large| large.together);
    vec![
        Aim::at_most("start to ready with a million records", 200.0, "ms", start),
        Aim::at_most("get among ten million ÷ among ten thousand, one connection", 1.3, "×", alone),
        Aim::at_most("the same, 64 connections", 1.3, "×", together),
    ]
}

/// Returns the ratio of the first rate to the second.
fn ratio(
    first: Option<&Row>,
    second: Option<&Row>,
    figures: impl Fn(&Row) -> Option<Figures>,
) -> Option<f64> {
    Some(figures(first?)?.rate / figures(second?)?.rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_judged_by_its_own_side() {
        assert_eq!(Aim::at_least("a", 1.5, Some(1.5)).is_reached, Some(true));
        assert_eq!(Aim::at_least("a", 1.5, Some(1.49)).is_reached, Some(false));
        assert_eq!(Aim::at_most("a", 5.0, "ms", Some(5.01)).is_reached, Some(false));
        assert_eq!(Aim::at_most("a", 5.0, "ms", None).is_reached, None);
    }
}
