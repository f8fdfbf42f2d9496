//! Clients that go away before they are answered.
//!
//! Invariant: what is left of them is at most a record whose key nobody has.

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

/// Clients that go away at the same time.
const AT_ONCE: usize = 4;
/// How many of them until the server has closed their connections: each takes memory until then, and a
/// slow machine has them waiting in thousands.
const BURST: usize = 200;
/// Bursts: the first ones bring the server to the memory that it works with.
const FIRST: usize = 5;
const THEN: usize = 15;
/// Connections to the database are opened when they are first needed, with a few files each.
const SOME_FILES: usize = 16;
/// More or less, as allocators go: less than a quarter of what the bursts after the first ones take, at
/// 30 KB for each that leaves, if none of it is given back.
const SOME_MEGABYTES: usize = 20;

/// Begins a save and goes away, in one of the ways of doing so.
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

/// Until a moment that may be before the commit, after it, or after the answer.
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

/// Each burst until no more than this many files are open.
fn save_and_leave_often(app: &TestApp, bursts: usize, files: usize, random: &mut Random) {
    for _ in 0..bursts {
        burst(app, random);
        until("their connections are closed", || app.open_files() <= files);
    }
}

/// However many leave, and whenever: others are served, and neither connections nor memory stay behind.
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
