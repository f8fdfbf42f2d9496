//! The resources that a process uses, from Linux's `/proc`.
//!
//! Invariant: the measured process measures nothing itself.

use std::{
    fs,
    path::PathBuf,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;

/// The unit of `utime` and similar fields: Linux's USER_HZ, which is 100 everywhere.
const TICK_MICROSECONDS: u64 = 10_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Returns the processor time of a process and of the children that it waited for, in microseconds.
pub(super) fn processor(id: u32) -> anyhow::Result<u64> {
    let ticks = Stat::of(id).with_context(|| format!("process {id} is gone"))?.ticks;
    Ok(ticks * TICK_MICROSECONDS)
}

/// Returns the same of a process and all its children.
pub(super) fn processor_of_family(id: u32) -> anyhow::Result<u64> {
    let ids = fs::read_dir("/proc")?.flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A child that ended in the meantime is counted by its parent.
    let children = ids.filter_map(Stat::of).filter(|stat| stat.parent == id);
    let ticks: u64 = children.map(|stat| stat.ticks).sum();
    Ok(processor(id)? + ticks * TICK_MICROSECONDS)
}

struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    fn of(id: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    /// Parses `/proc/ID/stat`; the name, in parentheses, may contain any text.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The state is field 3 of proc(5), the parent is 4, and 14 to 17 are the times.
        let times = fields.get(11..15)?.iter().map(|ticks| ticks.parse::<u64>());
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            ticks: times.sum::<Result<u64, _>>().ok()?,
        })
    }
}

/// Resident memory in bytes: now, and at most.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    pub(super) now: u64,
    pub(super) peak: u64,
}

impl Memory {
    pub(super) fn of(id: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        Ok(Self {
            now: kilobytes("VmRSS:").context("VmRSS")? * 1024,
            peak: kilobytes("VmHWM:").context("VmHWM")? * 1024,
        })
    }
}

/// The largest size that a file is seen to have.
pub(super) struct Largest {
    stop: Sender<()>,
    thread: JoinHandle<u64>,
}

impl Largest {
    pub(super) fn watch(file: PathBuf) -> Self {
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            let mut largest = 0;
            loop {
                largest = largest.max(fs::metadata(&file).map_or(0, |metadata| metadata.len()));
                if stopped.recv_timeout(BETWEEN_LOOKS) != Err(RecvTimeoutError::Timeout) {
                    return largest;
                }
            }
        });
        Self { stop, thread }
    }

    /// Returns the size in bytes; 0 if the file never existed.
    pub(super) fn finish(self) -> u64 {
        drop(self.stop);
        self.thread.join().expect("looking at a file does not panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_moves_no_field() {
        let text = "7 (a) b (c) S 42 7 7 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        let stat = Stat::parse(text).expect("stat");
        assert_eq!((stat.parent, stat.ticks), (42, 127));
    }

    #[test]
    fn this_process_uses_something() {
        let memory = Memory::of(std::process::id()).expect("memory");
        assert!(0 < memory.now && memory.now <= memory.peak);
        processor_of_family(std::process::id()).expect("processor");
    }
}
