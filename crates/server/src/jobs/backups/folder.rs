//! The folder of a server's own backups: their names, and which of them stay.
//!
//! Invariant: only a backup that was proved has a name that ends in `.backup`. Only such files count, and only such
//! files are removed. The newest one always stays.

use std::{
    collections::HashSet,
    fs::{self, File},
    hash::Hash,
    io,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// The start of the name of a backup.
pub(super) const START: &str = "latchkey-";
const TIME: &str = "%Y-%m-%dT%H%M%SZ";
const PROVED: &str = ".backup";
/// The end of the name of a backup until it is proved.
const UNPROVED: &str = ".unproved";
const LOCK: &str = "latchkey-backups.lock";

/// The backups that stay. A backup stays if one of the rules keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// The number of newest backups.
    pub(crate) newest: usize,
    /// The number of days of which the newest backup stays.
    pub(crate) daily: usize,
    /// The number of weeks.
    pub(crate) weekly: usize,
    /// The number of months.
    pub(crate) monthly: usize,
}

/// A backup in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) made: Timestamp,
    pub(super) is_proved: bool,
}

/// The folder, which this process alone writes to.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Locks the folder, which must exist.
    pub(super) fn lock(path: &Path) -> io::Result<Self> {
        let lock = File::options().create(true).append(true).open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(io::Error::other(
                "another server writes its backups there; give each database a folder of its own",
            )),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Returns the name of a backup that is not proved yet.
    pub(super) fn unproved(&self, made: Timestamp) -> PathBuf {
        self.path.join(format!("{START}{}{UNPROVED}", made.strftime(TIME)))
    }

    /// Gives a backup its name, because it was proved.
    pub(super) fn accept(&self, unproved: &Path) -> io::Result<PathBuf> {
        let proved = unproved.with_extension(&PROVED[1..]);
        fs::rename(unproved, &proved)?;
        File::open(&self.path)?.sync_all()?;
        Ok(proved)
    }

    /// Returns the backups, the newest first.
    pub(super) fn entries(&self) -> io::Result<Vec<Entry>> {
        entries(&self.path)
    }
}

/// Returns the backups in a folder, the newest first.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in fs::read_dir(folder)? {
        entries.extend(entry(file?.path()));
    }
    entries.sort_by(|one, other| (other.made, &other.path).cmp(&(one.made, &one.path)));
    Ok(entries)
}

/// Reads the name of a backup.
fn entry(path: PathBuf) -> Option<Entry> {
    let name = path.file_name()?.to_str()?.strip_prefix(START)?;
    let (time, is_proved) = match (name.strip_suffix(PROVED), name.strip_suffix(UNPROVED)) {
        (Some(time), _) => (time, true),
        (None, Some(time)) => (time, false),
        (None, None) => return None,
    };
    let made = DateTime::strptime(TIME, time).ok()?;
    let made = TimeZone::UTC.to_timestamp(made).ok()?;
    Some(Entry { path, made, is_proved })
}

impl Retention {
    /// Returns the proved backups that no rule keeps. `entries` has the newest first.
    pub(super) fn surplus(self, entries: &[Entry]) -> Vec<&Entry> {
        let proved: Vec<&Entry> = entries.iter().filter(|entry| entry.is_proved).collect();
        let dates: Vec<_> =
            proved.iter().map(|entry| TimeZone::UTC.to_datetime(entry.made).date()).collect();
        let mut kept: HashSet<usize> = (0..self.newest.max(1)).collect();
        let week = |index: usize| {
            let week = dates[index].iso_week_date();
            (week.year(), week.week())
        };
        kept.extend(newest_of_each(proved.len(), self.daily, |index| dates[index]));
        kept.extend(newest_of_each(proved.len(), self.weekly, week));
        kept.extend(newest_of_each(proved.len(), self.monthly, |index| {
            (dates[index].year(), dates[index].month())
        }));
        let surplus = proved.into_iter().enumerate().filter(|(index, _)| !kept.contains(index));
        surplus.map(|(_, entry)| entry).collect()
    }
}

/// Returns the newest entry of each of the last `most` periods that have one.
fn newest_of_each<Period: Hash + Eq>(
    count: usize,
    most: usize,
    period: impl Fn(usize) -> Period,
) -> Vec<usize> {
    let mut seen = HashSet::new();
    (0..count).filter(|index| seen.insert(period(*index))).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries_of(times: &[&str]) -> Vec<Entry> {
        let entry = |time: &&str| entry(PathBuf::from(format!("{START}{time}{PROVED}")));
        times.iter().map(|time| entry(time).expect("a name")).collect()
    }

    fn surplus(retention: Retention, times: &[&str]) -> Vec<String> {
        let entries = entries_of(times);
        let removed = retention.surplus(&entries).into_iter();
        removed.map(|entry| entry.made.strftime("%m-%dT%H").to_string()).collect()
    }

    const NONE: Retention = Retention { newest: 1, daily: 0, weekly: 0, monthly: 0 };

    #[test]
    fn a_backup_stays_if_one_rule_keeps_it() {
        // 2026-11-23 is a Monday.
        let times = [
            "2026-11-24T120000Z",
            "2026-11-24T060000Z",
            "2026-11-23T180000Z",
            "2026-11-22T180000Z",
            "2026-10-31T230000Z",
            "2026-10-01T000000Z",
        ];
        let all = ["11-24T06", "11-23T18", "11-22T18", "10-31T23", "10-01T00"];
        assert_eq!(surplus(NONE, &times), all);
        assert_eq!(surplus(Retention { newest: 0, ..NONE }, &times), all, "the newest stays");
        assert_eq!(surplus(Retention { newest: 9, ..NONE }, &times), [""; 0]);
        assert_eq!(
            surplus(Retention { daily: 2, ..NONE }, &times),
            [all[0], all[2], all[3], all[4]]
        );
        assert_eq!(
            surplus(Retention { weekly: 2, ..NONE }, &times),
            [all[0], all[1], all[3], all[4]]
        );
        assert_eq!(
            surplus(Retention { monthly: 9, ..NONE }, &times),
            [all[0], all[1], all[2], all[4]]
        );
        let some = Retention { newest: 2, daily: 2, weekly: 3, monthly: 2 };
        assert_eq!(surplus(some, &times), [all[4]]);
    }

    #[test]
    fn other_files_are_no_backups() {
        for name in [
            "latchkey-2026-11-24",
            "latchkey-2026-11-24T120000Z",
            "latchkey-2026-13-24T120000Z.backup",
            "latchkey-2026-11-24T120000Z.backup.unfinished-0123456789abcdef",
            "other-2026-11-24T120000Z.backup",
            LOCK,
        ] {
            assert_eq!(entry(PathBuf::from(name)), None, "{name}");
        }
        let unproved = entry("a/latchkey-2026-11-24T120000Z.unproved".into()).expect("a name");
        assert!(!unproved.is_proved && NONE.surplus(&[unproved]).is_empty());
    }
}
