//! Ten times the server's capacity, for a minute.
//!
//! Invariant: a request is answered correctly, or rejected with a 503 and a time to retry. No connection is cut off,
//! and the server recovers at once after the overload.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    app::{Setup, TestApp},
    load::{Random, Record, Saved, assert_none_lost, assert_refused, lost},
    parts::rounds,
    raw::{save_request, take_answer},
};

/// The load that measures the capacity: each connection sends its next request after the answer.
const CLOSED_LOOP: Offer =
    Offer { connections: 64, depth: 1, rate: f64::INFINITY, time: Duration::from_secs(2) };
/// Requests under way on one connection; at this number the client stops sending.
const DEPTH: usize = 32;
/// The duration of the overload, in seconds.
const OVERLOAD: usize = 60;
/// Threads that send and receive.
const THREADS: usize = 2;
/// The number of saves that are checked at the end; the rest are only counted.
const SAMPLE: usize = 3000;
const SOME_MEGABYTES: usize = 64;

/// The load that clients offer.
#[derive(Clone, Copy)]
struct Offer {
    connections: usize,
    depth: usize,
    /// Requests a second.
    rate: f64,
    time: Duration,
}

/// The counts of requests and answers.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    sent: usize,
    acknowledged: usize,
    refused: usize,
}

impl Outcome {
    fn and(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            acknowledged: self.acknowledged + other.acknowledged,
            refused: self.refused + other.refused,
        }
    }
}

/// A connection with several requests under way.
struct Pipeline {
    stream: TcpStream,
    /// The tokens whose keys have not arrived yet, in order.
    under_way: VecDeque<String>,
    unsent: Vec<u8>,
    received: Vec<u8>,
}

impl Pipeline {
    fn open(authority: &str) -> Self {
        let stream = TcpStream::connect(authority).expect("connect");
        stream.set_nonblocking(true).expect("a socket that does not block");
        Self { stream, under_way: VecDeque::new(), unsent: Vec::new(), received: Vec::new() }
    }

    /// Queues another save, to be sent as soon as the connection has room.
    fn begin(&mut self, record: &Record, outcome: &mut Outcome) {
        let token = record.new_token();
        self.unsent.extend(save_request("localhost", &token));
        self.under_way.push_back(token);
        outcome.sent += 1;
    }

    /// Receives and sends as much as is possible without waiting.
    fn go_on(&mut self, record: &Record, outcome: &mut Outcome) {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => panic!("the server closed a connection in use"),
            Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("the server cut off an answer: {error}"),
        }
        while let Some(answer) = take_answer(&mut self.received) {
            let token = self.under_way.pop_front().expect("an answer to a request");
            if answer.status == 200 {
                record.add(Saved { key: answer.key(), token });
                outcome.acknowledged += 1;
            } else {
                assert_refused(answer);
                outcome.refused += 1;
            }
        }
        self.send();
    }

    fn send(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("the server cut off a request: {error}"),
            }
        }
    }
}

impl Offer {
    /// Sends this load from several threads. Then the clients leave, even with requests under way.
    fn make(self, app: &TestApp, record: &Record) -> Outcome {
        let part = Self {
            connections: self.connections / THREADS,
            rate: self.rate / THREADS as f64,
            ..self
        };
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..THREADS).map(|_| scope.spawn(move || part.send(app, record))).collect();
            let outcomes = threads.into_iter().map(|thread| thread.join().expect("a sender"));
            outcomes.fold(Outcome::default(), Outcome::and)
        })
    }

    fn send(self, app: &TestApp, record: &Record) -> Outcome {
        let (begin, mut outcome) = (Instant::now(), Outcome::default());
        let mut pipelines = Vec::new();
        for _ in 0..self.connections {
            let mut pipeline = Pipeline::open(app.authority());
            // At once, because the server soon closes a connection that sends nothing.
            pipeline.begin(record, &mut outcome);
            pipeline.go_on(record, &mut outcome);
            pipelines.push(pipeline);
        }
        while begin.elapsed() < self.time {
            let due = begin.elapsed().as_secs_f64() * self.rate;
            for pipeline in &mut pipelines {
                if (outcome.sent as f64) < due && pipeline.under_way.len() < self.depth {
                    pipeline.begin(record, &mut outcome);
                }
                pipeline.go_on(record, &mut outcome);
            }
            thread::sleep(Duration::from_millis(1));
        }
        outcome
    }
}

#[test]
fn ten_times_the_capacity_does_no_harm() {
    let app = Setup::new().with("LOG__FILTER", "error").start();
    let (record, mut random) = (Record::default(), Random::new());
    let closed = CLOSED_LOOP.make(&app, &record);
    let capacity = closed.acknowledged as f64 / CLOSED_LOOP.time.as_secs_f64();

    let before = app.resident_megabytes();
    let rate = 10.0 * capacity;
    // Each waits about a second for its turn, which is less than the server's timeout for slow clients.
    let connections = (capacity as usize).clamp(CLOSED_LOOP.connections, 200);
    let time = Duration::from_secs(rounds(OVERLOAD) as u64);
    let overload = Offer { connections, depth: DEPTH, rate, time };
    let outcome = overload.make(&app, &record);
    let stopped = Instant::now();
    assert!(record.save(&app.client()));
    let recovery = stopped.elapsed();
    let after = app.resident_megabytes();

    println!("capacity: {capacity:.0} saves a second; then {rate:.0} on {connections} connections");
    println!("offered {:.0}: {outcome:?}", rate * time.as_secs_f64());
    println!("memory: {before} MB, then {after} MB; the next save took {recovery:?}");
    assert!(after < before + SOME_MEGABYTES, "{before} MB, then {after} MB");
    assert!(recovery < Duration::from_secs(1), "{recovery:?}");
    let rows = app.saved_rows();
    println!("{} keys, {rows} rows", record.acknowledged());
    // Requests that were under way when the clients left may have been committed.
    assert!((record.acknowledged()..=closed.sent + outcome.sent + 1).contains(&rows));
    let sample = record.sample(SAMPLE, &mut random);
    assert_none_lost(sample.len(), lost(&app, &sample));
}
