//! SQLite's write-ahead log, cut short as a crash of the machine may leave it.
//!
//! Invariant: what was committed wholly before the cut is there, and nothing else is.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    app::{Setup, TestApp},
    load::{Record, Saved, assert_none_lost},
};

const SAVES: usize = 30;
const PAGE: usize = 4096;
/// Servers that run at once.
const SERVERS: usize = 2;

/// A database that was settled, the log of what was saved since, and the length of the log after each of
/// the saves.
struct Crashed {
    app: TestApp,
    log: Vec<u8>,
    saves: Vec<(usize, Saved)>,
}

impl Crashed {
    fn new() -> Self {
        let mut app = TestApp::new().stop().start();
        let (record, client) = (Record::of_long_tokens(6000), app.client());
        let log = app.setup.data().join("latchkey.db-wal");
        let lengths: Vec<usize> = (0..SAVES)
            .map(|_| {
                assert!(record.save(&client));
                fs::read(&log).expect("log").len()
            })
            .collect();
        app.kill();
        let log = fs::read(log).expect("log");
        assert!(lengths.is_sorted_by(|a, b| a < b), "each save makes the log longer: {lengths:?}");
        assert_eq!(lengths.last(), Some(&log.len()));
        Self { app, log, saves: lengths.into_iter().zip(record.saved()).collect() }
    }

    /// The same with less of the log, in a folder of its own.
    fn cut(&self, length: usize) -> Setup {
        let setup = Setup::new();
        let mut copy = Command::new("cp");
        copy.arg("-a").args([self.app.setup.data(), setup.data()]);
        assert!(copy.status().expect("cp").success());
        // It does not survive a crash of the machine.
        fs::remove_file(setup.data().join("latchkey.db-shm")).expect("the log's index");
        fs::write(setup.data().join("latchkey.db-wal"), &self.log[..length]).expect("log");
        setup
    }

    /// What was committed wholly before a cut.
    fn before(&self, length: usize) -> impl Iterator<Item = &Saved> {
        let before = self.saves.iter().filter(move |(end, _saved)| *end <= length);
        before.map(|(_end, saved)| saved)
    }

    /// Starts a server on a log of that length; how many saves are kept, which must be the first ones.
    fn kept_after_a_cut(&self, length: usize) -> usize {
        let app = self.cut(length).start();
        let client = app.client();
        let kept = self.before(length).filter(|saved| saved.is_kept(&client)).count();
        for (end, saved) in self.saves.iter().filter(|(end, _saved)| *end > length) {
            assert!(client.get(&saved.key).is_null(), "cut at {length}, committed at {end}");
        }
        let later = Record::default();
        assert!(later.save(&client));
        assert!(later.saved().iter().all(|saved| saved.is_kept(&client)), "cut at {length}");
        kept
    }
}

/// At every boundary of a page of the disk, which is in the middle of a frame of the log.
#[test]
fn a_log_that_is_cut_short_keeps_what_was_committed_before_the_cut() {
    let crashed = Crashed::new();
    let cuts = crashed.log.len() / PAGE + 1;
    let (next, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..SERVERS {
            scope.spawn(|| {
                loop {
                    let cut = next.fetch_add(1, Ordering::Relaxed);
                    if cut >= cuts {
                        break;
                    }
                    kept.fetch_add(crashed.kept_after_a_cut(cut * PAGE), Ordering::Relaxed);
                }
            });
        }
    });
    let acknowledged: usize = (0..cuts).map(|cut| crashed.before(cut * PAGE).count()).sum();
    let kept = kept.into_inner();
    println!("{cuts} cuts");
    assert_none_lost(acknowledged, acknowledged - kept);
}
