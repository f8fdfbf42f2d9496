//! The lines of a file that is imported: JSON lines, or CSV (RFC 4180).
//!
//! Invariant: the length of a line is bounded, so that an unclosed quote does not fill the memory. An error names the
//! line and no part of it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::entry::{PARAMETER, PARAMETERS, PROPERTIES};
use crate::config::Config;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// JSON lines: an object on each line
    Jsonl,
    /// CSV, with the names of the properties in the first line
    Csv,
}

impl Format {
    /// By the end of a file's name.
    pub(super) fn of_name(file: &Path) -> Option<Self> {
        let extension = file.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// A line, or a record of several lines in CSV.
pub(super) struct Line {
    /// Where it begins, counted from 1.
    pub(super) number: u64,
    /// Its properties, or why it has none.
    pub(super) properties: Result<Map<String, Value>, &'static str>,
}

/// The lines of a file, one after the other.
pub(super) struct Lines(Source);

enum Source {
    Jsonl { reader: Box<dyn BufRead>, number: u64, most: usize },
    Csv { reader: Box<Reader<LineByLine>>, names: Vec<String>, most: usize },
}

impl Lines {
    /// Opens a file, or standard input.
    ///
    /// # Errors
    /// It cannot be read, or the head of a CSV has a name that is none.
    pub(super) fn open(file: &Path, format: Format, config: &Config) -> anyhow::Result<Self> {
        let reader: Box<dyn Read> = if file.as_os_str() == "-" {
            Box::new(io::stdin())
        } else {
            let opened = File::open(file).and_then(|opened| Ok((opened.metadata()?, opened)));
            let (metadata, opened) =
                opened.with_context(|| format!("cannot read {}", file.display()))?;
            if !metadata.is_file() {
                bail!(
                    "{} is not a regular file, which can be read twice; name - to read standard input",
                    file.display()
                );
            }
            Box::new(opened)
        };
        // Of three secrets each byte may be written as six, such as \u0041.
        let most = config.limits.token_bytes.saturating_mul(3 * 6).saturating_add(64 << 10);
        Ok(Self(match format {
            Format::Jsonl => {
                Source::Jsonl { reader: Box::new(BufReader::new(reader)), number: 0, most }
            }
            Format::Csv => Self::csv(reader, most)?,
        }))
    }

    fn csv(reader: Box<dyn Read>, most: usize) -> anyhow::Result<Source> {
        let mut lines = LineByLine::new(reader);
        lines.begin(most);
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(lines);
        let head = reader.byte_headers().map_err(unreadable)?.clone();
        let mut names = Vec::new();
        for (index, name) in head.iter().enumerate() {
            let name = str::from_utf8(name).unwrap_or_default();
            let name = name.strip_prefix('\u{feff}').unwrap_or(name).trim();
            // Its text may be a token, if the file has no head.
            if !PROPERTIES.contains(&name) && !name.starts_with(PARAMETER) {
                bail!(
                    "line 1: column {} does not have the name of a property; the first line must name the columns: {}",
                    index + 1,
                    PROPERTIES.join(", ")
                );
            }
            if names.iter().any(|known| known == name) {
                bail!("line 1: column {} has the same name as another one", index + 1);
            }
            names.push(name.to_owned());
        }
        let has_own = names.iter().any(|name| name.starts_with(PARAMETER));
        if has_own && names.iter().any(|name| name == PARAMETERS) {
            bail!(
                "line 1: parameters are in one column and in columns of their own; keep one of both"
            );
        }
        Ok(Source::Csv { reader: Box::new(reader), names, most })
    }

    /// The next line that is not empty.
    ///
    /// # Errors
    /// The file cannot be read on, or a line has no end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Line>> {
        match &mut self.0 {
            Source::Jsonl { reader, number, most } => loop {
                let mut text = Zeroizing::new(Vec::new());
                let mut bounded = reader.by_ref().take(*most as u64 + 1);
                bounded.read_until(b'\n', &mut text).context("cannot read on")?;
                if text.is_empty() {
                    return Ok(None);
                }
                *number += 1;
                if text.len() > *most {
                    bail!("line {number} is longer than {most} bytes");
                }
                let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
                if text.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let properties =
                    serde_json::from_slice(text).map_err(|_error| "it is not a JSON object");
                return Ok(Some(Line { number: *number, properties }));
            },
            Source::Csv { reader, names, most } => {
                let mut record = ByteRecord::new();
                reader.get_mut().begin(*most);
                if !reader.read_byte_record(&mut record).map_err(unreadable)? {
                    return Ok(None);
                }
                let number = reader.get_ref().first.unwrap_or_default();
                Ok(Some(Line { number, properties: properties(names, &record) }))
            }
        }
    }
}

/// The cells of a record by the names of their columns; an empty cell is no property.
fn properties(names: &[String], record: &ByteRecord) -> Result<Map<String, Value>, &'static str> {
    if record.len() != names.len() {
        return Err("it has more or fewer cells than the first line");
    }
    let mut properties = Map::new();
    for (name, cell) in names.iter().zip(record) {
        let cell = str::from_utf8(cell).map_err(|_error| "it is not UTF-8")?;
        if cell.is_empty() {
            continue;
        }
        let cell = Value::from(cell);
        match name.strip_prefix(PARAMETER) {
            None => {
                properties.insert(name.clone(), cell);
            }
            Some(parameter) => {
                let all = properties.entry(PARAMETERS).or_insert_with(|| Map::new().into());
                all[parameter] = cell;
            }
        }
    }
    Ok(properties)
}

/// The file cannot be read on. Records of any length are CSV, so that nothing else is an error of the reader.
fn unreadable(error: csv::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot read on: {error}")
}

/// Gives a line of text at a time, so that it knows on which line a record begins. It gives no more than a record may
/// have, and then fails.
struct LineByLine {
    reader: BufReader<Box<dyn Read>>,
    /// How many more bytes the record may have.
    left: usize,
    /// The line that is read.
    number: u64,
    /// Whether the next byte begins a line.
    is_at_start: bool,
    /// The first line since the record began that is not empty.
    first: Option<u64>,
}

impl LineByLine {
    fn new(reader: Box<dyn Read>) -> Self {
        let reader = BufReader::new(reader);
        Self { reader, left: 0, number: 0, is_at_start: true, first: None }
    }

    /// Begins another record, of at most this number of bytes.
    fn begin(&mut self, most: usize) {
        (self.left, self.first) = (most, None);
    }
}

impl Read for LineByLine {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let line = self.first.unwrap_or(self.number);
            return Err(io::Error::other(format!(
                "line {line} is too long; is there a quote that is not closed?"
            )));
        }
        let filled = self.reader.fill_buf()?;
        let line =
            filled.iter().position(|byte| *byte == b'\n').map_or(filled, |end| &filled[..=end]);
        let chunk = &line[..line.len().min(buffer.len())];
        buffer[..chunk.len()].copy_from_slice(chunk);
        if self.is_at_start && !chunk.is_empty() {
            self.number += 1;
        }
        let is_empty = chunk.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if !(is_empty && self.is_at_start) {
            self.first.get_or_insert(self.number);
        }
        self.is_at_start = chunk.last().map_or(self.is_at_start, |byte| *byte == b'\n');
        let read = chunk.len();
        self.left = self.left.saturating_sub(read);
        self.reader.consume(read);
        Ok(read)
    }
}
