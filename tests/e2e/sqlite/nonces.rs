//! No nonce is used twice under one key (NIST SP 800-38D §8). This holds for parallel writers, after a restart, and for
//! two servers of which one was restored from the other's backup.
//!
//! Invariant: all blobs that a master key sealed are compared, read from the databases.

use std::{
    collections::{HashMap, HashSet},
    thread,
};

use crate::support::{
    app::{Setup, TestApp, until},
    client::to_save,
    master_keys::{ids, records_elsewhere, rotate},
    seal_format::unhex,
};

const WRITERS: usize = 8;
const SAVES: usize = 25;

fn save_in_parallel(app: &TestApp) {
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            let client = app.client();
            scope.spawn(move || {
                for _ in 0..SAVES {
                    client.post("SaveExternalTokens", &to_save("CANARY")).expect(200);
                }
            });
        }
    });
}

/// The sealed blobs: by key, each nonce and the blobs that have it. The same blob in two databases counts as one.
#[derive(Default)]
struct Nonces(HashMap<(String, Vec<u8>), HashSet<Vec<u8>>>);

impl Nonces {
    fn add(&mut self, key: String, blob: &[u8]) {
        self.0.entry((key, blob[2..14].to_vec())).or_default().insert(blob.to_vec());
    }

    /// Adds the blobs of a database; returns the digests of its retrieval keys.
    fn add_all(&mut self, setup: &Setup) -> Vec<String> {
        let rows =
            "SELECT group_concat(key_digest || ' ' || kek_id || ' ' || wrapped || ' ' || sealed)
            FROM (SELECT hex(key_digest) AS key_digest, kek_id, hex(wrapped_dek) AS wrapped,
            hex(sealed) AS sealed FROM external_tokens)";
        let rows = setup.database().text(rows);
        let mut digests = Vec::new();
        for row in rows.split(',') {
            let parts: Vec<&str> = row.split(' ').collect();
            let [digest, kek, wrapped, sealed] = parts[..] else { panic!("{row}") };
            self.add(kek.to_owned(), &unhex(wrapped));
            // Each carrier is sealed under its own key, so its nonce does not need to be unique; it is anyway.
            self.add("carriers".to_owned(), &unhex(sealed));
            digests.push(digest.to_owned());
        }
        for id in ids(setup) {
            let sentinel = format!("SELECT sentinel FROM keks WHERE id = '{id}'");
            self.add(id, &setup.database().bytes(&sentinel));
        }
        digests
    }
}

/// Parallel writers, a restart, and a restored copy with the same master key that runs in parallel with the first
/// server. Then both rotate. Every nonce was used once.
#[test]
fn no_nonce_is_used_twice() {
    let app = Setup::new().with("LOG__FILTER", "warn").start();
    save_in_parallel(&app);
    let app = app.stop().start();
    let backup = app.setup.folder().join("backup");
    let backup = backup.to_str().expect("UTF-8");
    app.setup.run(&["backup", backup], "").expect("a backup");

    let keys = app.setup.data().join("keys");
    let copy = Setup::new().with("KEYS__DIRECTORY", keys.to_str().expect("UTF-8"));
    copy.run(&["restore", backup], "").expect("restored");
    let copy = copy.with("LOG__FILTER", "warn").start();
    thread::scope(|scope| {
        for app in [&app, &copy] {
            scope.spawn(move || save_in_parallel(app));
        }
    });
    let mut nonces = Nonces::default();
    let keys: HashSet<String> =
        [&app, &copy].iter().flat_map(|app| nonces.add_all(&app.setup)).collect();
    assert_eq!(keys.len(), 3 * WRITERS * SAVES, "each save has a retrieval key of its own");
    for app in [&app, &copy] {
        let id = rotate(&app.setup);
        until("all records are under the new key", || records_elsewhere(app, &id) == 0);
        nonces.add_all(&app.setup);
    }
    let twice = nonces.0.values().filter(|blobs| blobs.len() > 1).count();
    assert_eq!(twice, 0, "of {} nonces", nonces.0.len());
    // Saved and then re-wrapped in both databases; 200 of the records are the same in both.
    assert!(nonces.0.len() > 2 * 3 * WRITERS * SAVES, "{}", nonces.0.len());
}
