//! Figures of the work in memory, for those who watch a server: counts, and distributions of sizes and times.
//!
//! Invariant: noting a figure waits for no lock and takes no memory.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Bounds of the times of database work, in microseconds.
const TIMES: &[u64] =
    &[100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_500_000, 10_000_000];
/// Bounds of the numbers of writes in a transaction.
const BATCHES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds 1.
    pub fn note(&self) {
        self.add(1);
    }

    /// Adds a number.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// Returns the number.
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many values were up to each of some bounds.
#[derive(Debug)]
pub struct Distribution {
    bounds: &'static [u64],
    /// One number for each bound, and one for the values above the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A distribution as it was at some time.
#[derive(Clone, Debug)]
pub struct Distributed {
    /// The bounds, in order.
    pub bounds: &'static [u64],
    /// The number of values up to each bound and above the bound before, and the number of those above the last.
    pub counts: Vec<u64>,
    /// The sum of the values.
    pub sum: u64,
}

impl Distribution {
    /// Creates an empty distribution with these bounds, in order.
    pub fn new(bounds: &'static [u64]) -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds, counts, sum: AtomicU64::default() }
    }

    /// Adds a value.
    pub fn note(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Adds a time, in microseconds.
    pub fn note_time(&self, time: Duration) {
        self.note(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns the distribution as it is now.
    pub fn read(&self) -> Distributed {
        Distributed {
            bounds: self.bounds,
            counts: self.counts.iter().map(|count| count.load(Relaxed)).collect(),
            sum: self.sum.load(Relaxed),
        }
    }
}

/// The work of the writer.
#[derive(Debug)]
pub(crate) struct WriteFigures {
    /// Writes that wait for the writer.
    queued: AtomicU64,
    waits: Distribution,
    batches: Distribution,
    commits: Distribution,
    failed: Counter,
}

impl Default for WriteFigures {
    fn default() -> Self {
        Self {
            queued: AtomicU64::default(),
            waits: Distribution::new(TIMES),
            batches: Distribution::new(BATCHES),
            commits: Distribution::new(TIMES),
            failed: Counter::default(),
        }
    }
}

impl WriteFigures {
    pub(crate) fn queued(&self) {
        self.queued.fetch_add(1, Relaxed);
    }

    /// Notes that a write was not queued after all.
    pub(crate) fn refused(&self) {
        self.queued.fetch_sub(1, Relaxed);
    }

    /// Notes that the writer took a write from the queue.
    pub(crate) fn taken(&self, since: Instant) {
        self.queued.fetch_sub(1, Relaxed);
        self.waits.note_time(since.elapsed());
    }

    /// Notes a transaction of this many writes.
    pub(crate) fn written(&self, writes: usize, time: Duration, is_committed: bool) {
        if is_committed {
            self.batches.note(writes as u64);
            self.commits.note_time(time);
        } else {
            self.failed.note();
        }
    }
}

/// The work of the readers.
#[derive(Debug)]
pub(crate) struct ReadFigures {
    times: Distribution,
    failed: Counter,
}

impl Default for ReadFigures {
    fn default() -> Self {
        Self { times: Distribution::new(TIMES), failed: Counter::default() }
    }
}

impl ReadFigures {
    /// Notes a read, with the time that its caller waited.
    pub(crate) fn read(&self, since: Instant, is_done: bool) {
        if is_done {
            self.times.note_time(since.elapsed());
        } else {
            self.failed.note();
        }
    }
}

/// The store's work since it was opened, and its state. Times are microseconds.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Whether calls can use the database, as far as the last ones show.
    pub is_available: bool,
    /// Writes that wait for the writer.
    pub writes_queued: u64,
    /// How long writes waited for the writer.
    pub write_waits: Distributed,
    /// The number of writes in each committed transaction.
    pub batches: Distributed,
    /// How long committed transactions took.
    pub commits: Distributed,
    /// Transactions that failed.
    pub commits_failed: u64,
    /// How long callers waited for reads.
    pub reads: Distributed,
    /// Reads that failed.
    pub reads_failed: u64,
    /// The size of SQLite's write-ahead log in bytes; `None` on PostgreSQL.
    pub write_ahead_log: Option<u64>,
    /// Each receiver of webhooks.
    pub receivers: Vec<ReceiverFigures>,
}

/// The events of a receiver of webhooks.
#[derive(Clone, Debug)]
pub struct ReceiverFigures {
    /// Its name in the configuration.
    pub name: String,
    /// Events that wait for it, as far as this process knows.
    pub waiting: u64,
    /// Events that it confirmed to this process.
    pub delivered: u64,
    /// Events that this process dropped, because too many others waited.
    pub dropped: u64,
}

/// The figures of the writer and of the readers, for `Figures`.
pub(crate) fn of_work(writes: &WriteFigures, reads: &ReadFigures) -> Figures {
    Figures {
        is_available: true,
        writes_queued: writes.queued.load(Relaxed),
        write_waits: writes.waits.read(),
        batches: writes.batches.read(),
        commits: writes.commits.read(),
        commits_failed: writes.failed.read(),
        reads: reads.times.read(),
        reads_failed: reads.failed.read(),
        write_ahead_log: None,
        receivers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_the_first_bound_that_it_does_not_exceed() {
        let distribution = Distribution::new(&[1, 10]);
        for value in [0, 1, 2, 10, 11, 500] {
            distribution.note(value);
        }
        let read = distribution.read();
        assert_eq!((read.counts, read.sum), (vec![2, 2, 2], 524));
    }
}
