//! The output of commands: answers on standard output, and progress and errors on standard error.
//!
//! Invariant: an answer in JSON has everything that the answer for people has, and nothing else goes to standard
//! output.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;
use store::StoreError;

use super::terminal;

/// The time between two lines about the progress of a command.
const PROGRESS_PERIOD: Duration = Duration::from_secs(2);

/// How a command answers.
#[derive(Args, Clone, Copy)]
pub(crate) struct Output {
    /// The format of the answer: text for people, or JSON for programs
    #[arg(long, global = true, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Output {
    /// Returns whether the answer is JSON.
    pub(crate) fn is_json(self) -> bool {
        self.output == Format::Json
    }

    /// Prints rows: a table with a head, or an array of objects.
    pub(crate) fn rows<T: Serialize>(
        self,
        head: &[&str],
        rows: &[T],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if self.output == Format::Json {
            let json = serde_json::to_string_pretty(rows)?;
            return Ok(writeln!(out, "{}", terminal::json(&json))?);
        }
        let head: Vec<String> = head.iter().map(ToString::to_string).collect();
        let cells = |row| cells(row).iter().map(|cell| terminal::line(cell)).collect();
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: Vec<usize> = (0..lines[0].len()).filter_map(width).collect();
        for line in &lines {
            let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let text = padded.collect::<Vec<_>>().join("  ");
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }

    /// Prints what was made: `plain` alone, so that a script can take it, or an object.
    pub(crate) fn made(self, plain: &str, object: &impl Serialize) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match self.output {
            Format::Text => writeln!(out, "{}", terminal::lines(plain))?,
            Format::Json => {
                let json = serde_json::to_string_pretty(object)?;
                writeln!(out, "{}", terminal::json(&json))?;
            }
        }
        Ok(out.flush()?)
    }
}

/// Returns whether a command line asks for JSON, also if it cannot be parsed.
pub(crate) fn is_json(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<OsString> = arguments.take_while(|argument| argument != "--").collect();
    let follows = |pair: &[OsString]| pair[0] == "--output" && pair[1] == "json";
    arguments.windows(2).any(follows) || arguments.iter().any(|one| one == "--output=json")
}

/// Prints on standard error why a command failed: as text, or as an object.
pub(crate) fn failed(reason: &str, is_json: bool) {
    let text = match is_json {
        true => terminal::json(&serde_json::json!({ "error": reason }).to_string()),
        false => format!("latchkey: {}", terminal::lines(reason)),
    };
    // The terminal may be gone, which changes nothing.
    let _ = writeln!(io::stderr(), "{text}");
}

/// The progress of a long command, on standard error.
pub(crate) struct Progress(Instant);

impl Progress {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Prints a line, unless the last one was printed a moment ago.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.0.elapsed() >= PROGRESS_PERIOD {
            // The terminal may be gone, which stops nothing.
            let _ = writeln!(io::stderr(), "{}", line());
            self.0 = Instant::now();
        }
    }
}

/// A number of things: `1 record`, `1,234 records`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(count))
}

/// A number with a comma before each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An error of the store, with the name that the command was given.
pub(crate) fn refusal(error: StoreError, name: &str) -> anyhow::Error {
    match error {
        StoreError::NotFound(kind) => anyhow::anyhow!("there is no {kind} {name}"),
        StoreError::Conflict(kind) => anyhow::anyhow!("{kind} {name} already exists"),
        other => other.into(),
    }
}

/// A time as programs and people read it: UTC, to the second.
pub(crate) fn moment(microseconds: i64) -> String {
    let moment = Timestamp::from_microsecond(microseconds).unwrap_or_default();
    Timestamp::from_second(moment.as_second()).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (65_536, "65,536"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((counted(1, "user"), counted(2, "user")), ("1 user".into(), "2 users".into()));
    }
}
