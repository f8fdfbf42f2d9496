//! SQLite's write-ahead log: truncated as a crash of the machine may leave it, and truncated by the server after it
//! contained erased data.
//!
//! Invariant: after a crash, exactly the commits that were complete are there.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::json;

use crate::support::{
    app::{Setup, TestApp, until},
    load::{Record, Saved, assert_none_lost},
};

const SAVES: usize = 30;
const PAGE: usize = 4096;
/// The number of servers that run at once.
const SERVERS: usize = 2;

/// A database after a checkpoint, the log of later saves, and the length of the log after each save.
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

    /// The same database with a shorter log, in a folder of its own.
    fn cut(&self, length: usize) -> Setup {
        let setup = Setup::new();
        let mut copy = Command::new("cp");
        copy.arg("-a").args([self.app.setup.data(), setup.data()]);
        assert!(copy.status().expect("cp").success());
        // The index does not survive a crash of the machine.
        fs::remove_file(setup.data().join("latchkey.db-shm")).expect("the log's index");
        fs::write(setup.data().join("latchkey.db-wal"), &self.log[..length]).expect("log");
        setup
    }

    /// The saves that were committed completely before a cut.
    fn before(&self, length: usize) -> impl Iterator<Item = &Saved> {
        let before = self.saves.iter().filter(move |(end, _saved)| *end <= length);
        before.map(|(_end, saved)| saved)
    }

    /// Starts a server on a log of that length; returns the number of kept saves, which must be the first ones.
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

/// At every page boundary of the disk, which is in the middle of a frame of the log.
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

/// CONTRACT 39, 41: revoked or swept data is soon neither in the file nor in the log. This holds for a server that runs
/// on, and for one that was killed and started again.
#[test]
fn what_was_erased_leaves_the_files_of_a_running_server() {
    let mut app = Setup::new().with("RECORDS__SWEEP_SECONDS", "1").start();
    let save =
        |app: &TestApp| app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let row = |key: &str| model::RetrievalKey::parse(key).expect("key").record().as_i64();
    let part = |app: &TestApp, key: &str, column: &str| {
        let query = format!("SELECT {column} FROM external_tokens WHERE id = {}", row(key));
        app.setup.database().bytes(&query)
    };
    let [revoked, expired, kept] = [(); 3].map(|()| save(&app));
    let secrets = |app: &TestApp, key: &str| ["sealed", "wrapped_dek"].map(|of| part(app, key, of));
    let gone = [secrets(&app, &revoked), secrets(&app, &expired)].concat();
    let is_there = |app: &TestApp, part: &Vec<u8>| !app.files_with(part).is_empty();
    assert!(gone.iter().all(|part| is_there(&app, part)), "they are looked for rightly");
    assert!(app.client().revoke(&json!({ "Key": revoked })));
    app.sql(&format!("UPDATE external_tokens SET expires = created WHERE id = {}", row(&expired)));
    until("they are gone", || !gone.iter().any(|part| is_there(&app, part)));
    assert!(secrets(&app, &kept).iter().all(|part| is_there(&app, part)));

    let gone = secrets(&app, &kept);
    assert!(app.client().revoke(&json!({ "Key": kept })));
    app.kill();
    let app = app.setup.start();
    until("they are gone", || !gone.iter().any(|part| is_there(&app, part)));
}
