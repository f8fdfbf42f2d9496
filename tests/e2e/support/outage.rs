//! Saves that go on while the database is away.
//!
//! Invariant: every call is timed, whatever comes of it.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    app::until,
    client::Client,
    load::{OnDrop, Record},
};

const CONNECTIONS: usize = 64;
/// What a client that was refused lets the server have.
const PAUSE: Duration = Duration::from_millis(10);

/// Saves by many connections, to the servers in turn, until `act` is done; the longest that a call took.
pub(crate) fn save_during(servers: &[&str], record: &Record, act: impl FnOnce()) -> Duration {
    let (is_done, slowest) = (AtomicBool::new(false), Mutex::new(Duration::ZERO));
    thread::scope(|scope| {
        let _done = OnDrop(&is_done);
        for worker in 0..CONNECTIONS {
            let client = Client::new(servers[worker % servers.len()]);
            let (is_done, slowest) = (&is_done, &slowest);
            scope.spawn(move || {
                while !is_done.load(Ordering::Relaxed) {
                    let (begun, failed) = (Instant::now(), record.refused() + record.cut_off());
                    record.save(&client);
                    let mut slowest = slowest.lock().expect("no worker panicked");
                    *slowest = begun.elapsed().max(*slowest);
                    drop(slowest);
                    if record.refused() + record.cut_off() > failed {
                        thread::sleep(PAUSE);
                    }
                }
            });
        }
        act();
    });
    let slowest = slowest.into_inner().expect("no worker panicked");
    eprintln!(
        "{} refused, {} cut off, the slowest took {slowest:?}",
        record.refused(),
        record.cut_off()
    );
    slowest
}

/// Waits until so many more saves are acknowledged.
pub(crate) fn wait_for_saves(record: &Record, more: usize) {
    let before = record.acknowledged();
    until("saves are acknowledged", || record.acknowledged() >= before + more);
}

/// Waits until so many more saves are refused.
pub(crate) fn wait_for_refusals(record: &Record, more: usize) {
    let before = record.refused();
    until("saves are refused", || record.refused() >= before + more);
}
