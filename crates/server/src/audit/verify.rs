//! Verification of files of the audit log.
//!
//! Invariant: a chain is intact only if every line is signed over the line before, no sequence number is missing, and
//! the line that the database anchored is there.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use store::{AuditKey, FoundAnchor, Store};

use super::line::{self, ReadLine, decode_mac, read_line, split_mac};

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: PathBuf,
    /// The line, counted from 1; `None` for the end of the file.
    pub(crate) line: Option<u64>,
    pub(crate) text: String,
}

/// A chain of the given files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verified {
    pub(crate) chain: String,
    pub(crate) files: Vec<PathBuf>,
    /// The sequence numbers of the first and last good line.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// The number of good lines.
    pub(crate) lines: u64,
    /// The sequence number that the database anchored, if it did.
    pub(crate) anchored: Option<i64>,
    /// The first thing that is wrong, if something is.
    pub(crate) finding: Option<Finding>,
    /// Whether the times of the lines go back somewhere: a clock was set.
    pub(crate) time_goes_back: bool,
}

/// Verifies files, in any order, which may be of several chains. Reads them line by line.
///
/// # Errors
/// A file or the database cannot be read.
pub(crate) async fn verify_files(
    files: &[PathBuf],
    store: &Store,
) -> anyhow::Result<Vec<Verified>> {
    let keys = store.audit_keys().await?;
    let mut chains: BTreeMap<String, Vec<(i64, PathBuf)>> = BTreeMap::new();
    let mut verified = Vec::new();
    for file in files {
        match begin_of(file)? {
            Some((chain, sequence)) => {
                chains.entry(chain).or_default().push((sequence, file.clone()));
            }
            None => verified.push(Verified {
                files: vec![file.clone()],
                finding: Some(Finding {
                    file: file.clone(),
                    line: Some(1),
                    text: "it is not the first line of a file of the audit log".to_owned(),
                }),
                ..Verified::default()
            }),
        }
    }
    for (chain, mut files) in chains {
        files.sort();
        let anchor = store.audit_anchor(chain.clone()).await?;
        let files = files.into_iter().map(|(_sequence, file)| file).collect();
        verified.push(Walk::new(chain, files, &keys).run(anchor)?);
    }
    Ok(verified)
}

/// Reads the chain and the sequence number of a file's first line.
fn begin_of(file: &Path) -> anyhow::Result<Option<(String, i64)>> {
    let first = lines_of(file)?.next().transpose()?.and_then(|line| read_line(&line));
    let first = first.filter(|line| line.action == line::FILE);
    Ok(first.and_then(|line| Some((line.chain?, line.sequence))))
}

/// Reads the lines of a file, without their line breaks. A line without one is not complete, because the server may be
/// writing it, so it is left out. If it was complete once, its anchor shows that.
fn lines_of(file: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Vec<u8>>> + use<>> {
    let name = file.display().to_string();
    let reader = File::open(file).with_context(|| format!("cannot open {name}"))?;
    let mut reader = BufReader::new(reader);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => (line.pop() == Some(b'\n')).then_some(Ok(line)),
            Err(error) => Some(Err(error).context(format!("cannot read {name}"))),
        }
    }))
}

/// The state of a chain's verification.
struct Walk<'a> {
    keys: &'a [AuditKey],
    key: Option<&'a AuditKey>,
    /// The sequence number and MAC of the last good line.
    last: Option<(i64, [u8; 32])>,
    time: String,
    verified: Verified,
}

impl<'a> Walk<'a> {
    fn new(chain: String, files: Vec<PathBuf>, keys: &'a [AuditKey]) -> Self {
        let verified = Verified { chain, files, ..Verified::default() };
        Self { keys, key: None, last: None, time: String::new(), verified }
    }

    fn run(mut self, anchor: FoundAnchor) -> anyhow::Result<Verified> {
        let anchored = match &anchor {
            FoundAnchor::Found(anchor) => Some(anchor),
            FoundAnchor::Missing | FoundAnchor::Forged => None,
        };
        self.verified.anchored = anchored.map(|anchor| anchor.sequence);
        'files: for file in self.verified.files.clone() {
            for (number, line) in (1..).zip(lines_of(&file)?) {
                if let Err(text) = self.step(&line?, number == 1) {
                    self.find(file, Some(number), text);
                    break 'files;
                }
                let anchor = anchored.map(|anchor| (anchor.sequence, anchor.mac));
                if let (Some((at, mac)), Some((last, last_mac))) = (anchor, self.last)
                    && at == last
                    && mac != last_mac
                {
                    let text = "it is not the line that the database anchored".to_owned();
                    self.find(file, Some(number), text);
                    break 'files;
                }
            }
        }
        let last = self.verified.files.last().cloned().unwrap_or_default();
        match anchor {
            _ if self.verified.finding.is_some() => {}
            FoundAnchor::Found(anchor) if anchor.sequence > self.verified.last => {
                let text = format!(
                    "the end was cut off, or its last file is not given: line {} was written, and the last line here \
                     is {}",
                    anchor.sequence, self.verified.last
                );
                self.find(last, None, text);
            }
            FoundAnchor::Forged => {
                let text = "the anchor of this chain in the database was changed".to_owned();
                self.find(last, None, text);
            }
            FoundAnchor::Found(_) | FoundAnchor::Missing => {}
        }
        Ok(self.verified)
    }

    fn find(&mut self, file: PathBuf, line: Option<u64>, text: String) {
        self.verified.finding = Some(Finding { file, line, text });
    }

    /// Verifies the next line.
    ///
    /// # Errors
    /// Why the line is not the next one of the chain.
    fn step(&mut self, line: &[u8], is_first_of_file: bool) -> Result<(), String> {
        let changed = || "it was changed".to_owned();
        let (members, mac) = split_mac(line).ok_or_else(changed)?;
        let read = read_line(line).ok_or_else(changed)?;
        let link = Link::of(&read);
        if is_first_of_file && (link.is_none() || read.action != line::FILE) {
            return Err("it is not the first line of a file: lines before it were removed".into());
        }
        let expected = self.last.map_or(read.sequence, |(last, _mac)| last + 1);
        let named = link.as_ref().map(|link| link.key);
        let key = match named {
            Some(id) => self.keys.iter().find(|key| key.kek_id() == id),
            None => self.key,
        };
        let Some(key) = key else {
            return Err(format!(
                "its key, of the master key {}, is not available",
                named.unwrap_or("(none)")
            ));
        };
        let previous = match (self.last, &link) {
            (Some((_sequence, mac)), _) => mac,
            (None, Some(link)) => link.previous,
            (None, None) => return Err(changed()),
        };
        if !key.signed_line(&self.verified.chain, &previous, members, &mac) {
            return Err(match read.sequence {
                sequence if sequence > expected => {
                    format!("lines {expected} to {} are missing before it", sequence - 1)
                }
                sequence if sequence < expected => {
                    format!("line {sequence} is in the place of line {expected}")
                }
                _ => "it, or the line before it, was changed".to_owned(),
            });
        }
        self.key = Some(key);
        self.verified.time_goes_back |= read.time < self.time;
        self.time = read.time;
        if self.last.is_none() {
            self.verified.first = read.sequence;
        }
        self.verified.last = read.sequence;
        self.verified.lines += 1;
        self.last = Some((read.sequence, mac));
        Ok(())
    }
}

/// How the chain goes on, as a line says it.
struct Link<'a> {
    key: &'a str,
    previous: [u8; 32],
}

impl<'a> Link<'a> {
    fn of(line: &'a ReadLine) -> Option<Self> {
        let is_link = [line::FILE, line::KEY].contains(&line.action.as_str());
        let (key, previous) = (line.key.as_deref()?, line.previous.as_deref()?);
        let previous = decode_mac(previous.as_bytes())?;
        is_link.then_some(Self { key, previous })
    }
}

#[cfg(test)]
mod tests {
    use store::{Clock, Database, ExpiryPolicy, KekSources, KeySource, OpenOptions, Quotas};

    use super::{
        super::{Action, Details, Event, Outcome, chain::Chain},
        *,
    };

    const LINES: usize = 1000;

    /// A chain, its file, its last line, and the key that signed it.
    fn written() -> (String, Vec<u8>, (i64, [u8; 32]), Vec<AuditKey>) {
        let folder = tempfile::tempdir().expect("folder");
        let store = Store::open(&OpenOptions {
            database: Database::Sqlite(folder.path().join("test.db")),
            keys: KekSources {
                source: KeySource::Directory,
                directory: folder.path().join("keys"),
                secret: None,
                module: None,
            },
            auto_migrate: true,
            connections: 2,
            clock: Clock::SYSTEM,
            expiry_policy: ExpiryPolicy::default(),
            quotas: Quotas { credentials: 1, records: 1, idempotency_keys: 1 },
            unsaved_directory: folder.path().join("unsaved"),
            outbox: store::OutboxOptions::default(),
        });
        let store = store.expect("opened");
        let key = store.audit_key();
        store.close();
        let mut chain = Chain::begin(key.clone());
        let mut bytes = Vec::new();
        for number in 1..LINES {
            let details = Details { login: Some(format!("user-{number}")), ..Details::default() };
            let (action, outcome) = (Action::read("tokens.get"), Outcome::Success);
            let event = Event { action, outcome, details };
            chain.append(&mut bytes, &event);
        }
        let last = chain.last();
        (last.chain, bytes, (last.sequence, last.mac), vec![key])
    }

    /// A verification after these good lines.
    fn after<'a>(chain: &str, lines: &[&[u8]], keys: &'a [AuditKey]) -> Walk<'a> {
        let mut walk = Walk::new(chain.to_owned(), Vec::new(), keys);
        for (number, line) in lines.iter().enumerate() {
            walk.step(line, number == 0).expect("a good line");
        }
        walk
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let (chain, bytes, last, keys) = written();
        let lines: Vec<&[u8]> =
            bytes.strip_suffix(b"\n").expect("ended").split(|b| *b == b'\n').collect();
        assert_eq!(lines.len(), LINES);
        let mut walk = Walk::new(chain, Vec::new(), &keys);
        let mut changes = 0;
        for (number, line) in lines.iter().enumerate() {
            let is_first = number == 0;
            let mut is_found = |changed: &[u8]| {
                changes += 1;
                let (key, before) = (walk.key, walk.last);
                let found = walk.step(changed, is_first).is_err();
                (walk.key, walk.last) = (key, before);
                found
            };
            let mut changed = line.to_vec();
            for at in 0..line.len() {
                // Another letter case, another digit, a line break.
                for other in [line[at] ^ 0x20, line[at] ^ 1, b'\n'] {
                    if other == b'\n' {
                        // The line is then two lines, of which the first has no MAC.
                        assert!(is_found(&line[..at]), "a line break at {number}:{at}");
                    } else {
                        changed[at] = other;
                        assert!(is_found(&changed), "{number}:{at}");
                        changed[at] = line[at];
                    }
                }
                // The file ends within the line.
                assert!(is_found(&line[..at]), "cut at {number}:{at}");
            }
            // The next line break is another byte, or missing.
            let next = lines.get(number + 1).copied().unwrap_or_default();
            assert!(is_found(&[*line, b" ", next].concat()));
            assert!(is_found(&[*line, next].concat()) || next.is_empty());
            walk.step(line, is_first).expect("the line itself is good");
            // The file ends after this line: only the anchor shows it.
            assert_eq!(walk.last == Some(last), number + 1 == LINES);
        }
        assert!(changes > 4 * bytes.len() - 5 * LINES, "{changes}");
    }

    #[test]
    fn a_removed_repeated_or_moved_line_is_named() {
        let (chain, bytes, _last, keys) = written();
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').take(6).collect();
        let after_five = |next| after(&chain, &lines[..5], &keys).step(next, false);
        assert_eq!(after_five(lines[5]), Ok(()));
        let repeated = after_five(lines[2]).expect_err("found");
        assert_eq!(repeated, "line 3 is in the place of line 6");
        let removed = after(&chain, &lines[..3], &keys).step(lines[5], false).expect_err("found");
        assert_eq!(removed, "lines 4 to 5 are missing before it");
        let refusal = after(&chain, &[], &keys).step(lines[1], true).expect_err("found");
        assert!(refusal.contains("lines before it were removed"), "{refusal}");
        let none = after(&chain, &[], &[]).step(lines[0], true).expect_err("found");
        assert!(none.contains("is not available"), "{none}");
    }
}
