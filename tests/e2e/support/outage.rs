//! Saves that go on while the database is away.
//!
//! Invariant: every call is timed, whether or not it succeeds.

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
/// The pause of a client after a rejection.
const PAUSE: Duration = Duration::from_millis(10);

/// Saves on many connections, to the servers in turn, until `act` returns. Returns the duration of the longest call.
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

/// Waits until this number of further saves is acknowledged.
pub(crate) fn wait_for_saves(record: &Record, more: usize) {
    let before = record.acknowledged();
    until("saves are acknowledged", || record.acknowledged() >= before + more);
}

/// Waits until this number of further saves is rejected.
pub(crate) fn wait_for_refusals(record: &Record, more: usize) {
    let before = record.refused();
    until("saves are refused", || record.refused() >= before + more);
}
