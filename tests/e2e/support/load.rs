//! Load from several connections, and the record of the acknowledged saves.
//!
//! Invariant: a save is recorded only after its key was received. At any time each answer is either correct, or a
//! rejection with a time to retry.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::json;

use crate::support::{
    app::TestApp,
    client::{Answer, Client, to_save},
};

/// The number of connections that check at once for lost saves.
const CHECKERS: usize = 8;

/// Random numbers that differ between runs (SplitMix64).
#[derive(Clone, Copy)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts from a seed, which is printed.
    pub(crate) fn new() -> Self {
        let seed = RandomState::new().hash_one("seed");
        tell(&format!("seed {seed}"));
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end`, exclusive.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("less than a usize")
    }

    /// Another, independent source of numbers.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }
}

/// A save that was acknowledged.
#[derive(Clone)]
pub(crate) struct Saved {
    pub(crate) key: String,
    pub(crate) token: String,
}

impl Saved {
    /// Whether its key retrieves its token.
    pub(crate) fn is_kept(&self, client: &Client) -> bool {
        client.access_token(&self.key).as_ref() == Some(&self.token)
    }
}

/// The saves that a server acknowledged, and the counts of its other answers.
#[derive(Default)]
pub(crate) struct Record {
    /// Text that is appended to each token to make it longer.
    padding: String,
    saved: Mutex<Vec<Saved>>,
    begun: AtomicUsize,
    refused: AtomicUsize,
    got: AtomicUsize,
    cut_off: AtomicUsize,
}

impl Record {
    /// A record whose tokens have this much padding.
    pub(crate) fn of_long_tokens(padding: usize) -> Self {
        Self { padding: "x".repeat(padding), ..Self::default() }
    }

    /// A token that no other save has.
    pub(crate) fn new_token(&self) -> String {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        format!("CANARY-{number}{}", self.padding)
    }

    /// Saves a unique token; returns whether the server answered.
    pub(crate) fn save(&self, client: &Client) -> bool {
        let token = self.new_token();
        let Ok(answer) = client.try_post("SaveExternalTokens", &to_save(&token)) else {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        if answer.status == 200 {
            self.add(Saved { key: answer.key(), token });
        } else {
            assert_refused(answer);
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Gets a random earlier save, if there is one; returns whether the server answered.
    fn get(&self, client: &Client, random: &mut Random) -> bool {
        let Some(saved) = self.sample(1, random).pop() else { return true };
        let Ok(answer) = client.try_post("GetExternalTokens", &json!({ "Key": saved.key })) else {
            self.cut_off.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        assert_eq!(answer.expect(200).json()["AccessToken"], saved.token);
        self.got.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Adds an acknowledged save.
    pub(crate) fn add(&self, saved: Saved) {
        self.saved.lock().expect("no worker panicked").push(saved);
    }

    /// The acknowledged saves, in the order of the answers.
    pub(crate) fn saved(&self) -> Vec<Saved> {
        self.saved.lock().expect("no worker panicked").clone()
    }

    /// The number of acknowledged saves.
    pub(crate) fn acknowledged(&self) -> usize {
        self.saved.lock().expect("no worker panicked").len()
    }

    /// The number of saves that were rejected with a 503.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// The number of tokens that were retrieved.
    pub(crate) fn got(&self) -> usize {
        self.got.load(Ordering::Relaxed)
    }

    /// The number of calls without an answer, because the server had ended.
    pub(crate) fn cut_off(&self) -> usize {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// A random sample of the acknowledged saves, with repetitions.
    pub(crate) fn sample(&self, count: usize, random: &mut Random) -> Vec<Saved> {
        let saved = self.saved.lock().expect("no worker panicked");
        let count = if saved.is_empty() { 0 } else { count };
        (0..count).map(|_| saved[random.below(saved.len())].clone()).collect()
    }

    /// Sends saves, and gets of earlier saves, to a server until `meanwhile` returns. A connection that the server
    /// closes is not opened again.
    pub(crate) fn load<T>(
        &self,
        url: &str,
        connections: usize,
        random: &mut Random,
        meanwhile: impl FnOnce() -> T,
    ) -> T {
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..connections {
                let (client, mut random) = (Client::new(url), random.split());
                let is_done = &is_done;
                scope.spawn(move || {
                    while !is_done.load(Ordering::Relaxed)
                        && self.save(&client)
                        && self.get(&client, &mut random)
                    {}
                });
            }
            // Also after a panic, because otherwise the workers would never end.
            let _done = OnDrop(&is_done);
            meanwhile()
        })
    }

    /// Asserts that all acknowledged saves are kept, and prints their number.
    pub(crate) fn assert_kept(&self, app: &TestApp) {
        let saved = self.saved();
        assert_none_lost(saved.len(), lost(app, &saved));
    }
}

/// Sets the flag to true when it is dropped.
pub(crate) struct OnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Prints the number of kept saves, and asserts that none is lost.
pub(crate) fn assert_none_lost(acknowledged: usize, lost: usize) {
    tell(&format!("acknowledged {acknowledged}, kept {}, lost {lost}", acknowledged - lost));
    assert_eq!(lost, 0);
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "what a test found is to be read")]
pub(crate) fn tell(line: &str) {
    println!("{line}");
}

/// The number of these saves that are lost, checked on several connections.
pub(crate) fn lost(app: &TestApp, saved: &[Saved]) -> usize {
    thread::scope(|scope| {
        let parts = saved.chunks(saved.len().div_ceil(CHECKERS).max(1));
        let workers: Vec<_> = parts
            .map(|part| {
                let client = app.client();
                scope.spawn(move || part.iter().filter(|saved| !saved.is_kept(&client)).count())
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("worker")).sum()
    })
}

/// Asserts that nothing was saved, and that the answer has a time to retry.
pub(crate) fn assert_refused(answer: Answer) {
    let refused = answer.expect_error(503, "SoUnavailableException", "confirmed nothing");
    assert_eq!(refused.header("Retry-After"), "1");
}
