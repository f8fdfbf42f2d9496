//! Clients that leave before they are answered.
//!
//! Invariant: they leave at most a record whose key no client has.

use std::{
    io::Write as _,
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use crate::support::{
    app::{TestApp, until},
    load::{Random, Record},
    parts::leave_out,
    raw::save_request,
};

/// The number of clients that leave at the same time.
const AT_ONCE: usize = 4;
/// The number of clients in a burst. After a burst the test waits until the server has closed their connections. Each
/// takes memory until then, and on a slow machine thousands would be waiting.
const BURST: usize = 200;
/// The first bursts, which bring the server to its usual memory.
const FIRST: usize = 5;
const THEN: usize = 15;
/// The server opens connections to the database when it first needs them, with a few files each.
const SOME_FILES: usize = 16;
/// A tolerance, because allocators vary. It is less than a quarter of the memory that the later bursts would take, at
/// 30 KB for each client, if nothing were released.
const SOME_MEGABYTES: usize = 20;

/// Begins a save and leaves, in one of five ways.
fn save_and_leave(app: &TestApp, random: &mut Random) {
    let request = save_request(app.authority(), "CANARY-nobody");
    let mut stream = TcpStream::connect(app.authority()).expect("connect");
    match random.below(5) {
        0 => stream.write_all(&request[..random.below(request.len())]).expect("send a part"),
        1 => {
            stream.write_all(&request).expect("send");
            stream.shutdown(Shutdown::Both).expect("shut down");
        }
        2 => {
            stream.write_all(&request).expect("send");
            stream.shutdown(Shutdown::Write).expect("shut down");
            pause(random);
        }
        3 => {
            stream.write_all(&request).expect("send");
            pause(random);
        }
        _ => stream.write_all(&request).expect("send"),
    }
}

/// Waits for a moment, which may end before the commit, after it, or after the answer.
fn pause(random: &mut Random) {
    thread::sleep(Duration::from_micros(random.below(5000) as u64));
}

fn burst(app: &TestApp, random: &mut Random) {
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let mut random = random.split();
            scope.spawn(move || {
                for _ in 0..BURST / AT_ONCE {
                    save_and_leave(app, &mut random);
                }
            });
        }
    });
}

/// Sends bursts, and after each waits until at most this many files are open.
fn save_and_leave_often(app: &TestApp, bursts: usize, files: usize, random: &mut Random) {
    for _ in 0..bursts {
        burst(app, random);
        until("their connections are closed", || app.open_files() <= files);
    }
}

/// Clients that leave, at any time and in any number, do not affect others. Neither connections nor memory leak.
#[test]
fn clients_that_go_away_take_nothing_with_them() {
    let (app, record, mut random) = (TestApp::new(), Record::default(), Random::new());
    if !app.may_be_looked_into() {
        return leave_out("how many connections stay behind", "root");
    }
    record.load(&app.url, AT_ONCE, &mut random.split(), || {
        until("saves", || record.acknowledged() > AT_ONCE);
        let files = app.open_files() + SOME_FILES;
        save_and_leave_often(&app, FIRST, files, &mut random);
        let memory = app.resident_megabytes();
        save_and_leave_often(&app, THEN, files, &mut random);
        let grown = app.resident_megabytes().saturating_sub(memory);
        println!("memory: {memory} MB and {grown} more");
        assert!(grown < SOME_MEGABYTES, "{memory} MB and {grown} more");
    });
    assert_eq!((record.cut_off(), record.refused()), (0, 0));
    assert!(record.save(&app.client()));
    let unclaimed = app.saved_rows() - record.acknowledged();
    let left = BURST * (FIRST + THEN);
    println!("{unclaimed} of {left} saves that nobody waited for were committed");
    assert!((1..=left).contains(&unclaimed));
    record.assert_kept(&app);
}
