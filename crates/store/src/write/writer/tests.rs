//! Group commit, on a database of its own for each test.

use super::super::batch::Outcome;
use super::*;
use crate::{
    Clock, Database, KekSources, KeySource,
    backend::{migrate, sqlite::instance_lock},
    keys::keyring::Keyring,
    record_ids::RecordIds,
    tables::external_tokens::{TokenLookup, Tokens},
};
use diesel::connection::SimpleConnection as _;
use model::{
    GrantDetails, Login, Principal, Provider, RetrievalKey, TenantId, TokenManagementInfo,
};
use std::sync::mpsc;
use tokio::{sync::mpsc::unbounded_channel, task::JoinHandle};

/// A writer on a database of its own, with helpers to make and read rows.
struct Bench {
    writer: Arc<Writer>,
    database: Database,
    keyring: Keyring,
    ids: RecordIds,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with("")
    }

    /// Creates a bench after running SQL on the writer's own connection.
    fn with(sql: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let database = Database::Sqlite(folder.path().join("test.db"));
        let (database, _lock) = instance_lock::take(&database).expect("lock");
        let mut conn = Conn::writing(&database).expect("connect");
        migrate::run(&mut conn).expect("migrate");
        let keys = KekSources {
            source: KeySource::Directory,
            directory: folder.path().join("keys"),
            secret: None,
            module: None,
        };
        let keyring = Keyring::begin(&keys, &mut conn, 0).expect("keyring");
        conn.batch_execute(sql).expect(sql);
        let managed = ManagedConn::writing(database.clone(), Some(conn));
        let writer =
            Arc::new(Writer::start(managed, WriteAheadLog::of(&database, None), Arc::default()));
        Self { writer, database, keyring, ids: RecordIds::default(), _folder: folder }
    }

    fn row(&self) -> (RetrievalKey, TokenRow) {
        let key = self.ids.new_key(Clock::SYSTEM.now());
        let row = self.row_of(&key);
        (key, row)
    }

    fn row_of(&self, key: &RetrievalKey) -> TokenRow {
        let carrier = TokenManagementInfo {
            access_token: Some("fugit".into()),
            ..TokenManagementInfo::of(Provider::parse("et").expect("provider"))
        };
        let details = GrantDetails::default();
        let tokens = Tokens { carrier: &carrier, details: &details };
        let (kek, now) = (self.keyring.active(), Clock::SYSTEM.now());
        external_tokens::seal(&principal(), tokens, None, key, kek, now)
    }

    fn is_saved(&self, key: &RetrievalKey) -> bool {
        let mut conn = Conn::writing(&self.database).expect("connect");
        external_tokens::find(&mut conn, &TokenLookup::by(key)).expect("read").is_some()
    }

    /// Blocks the writer, so that the writes queued meanwhile become one batch. Returns once the writer is blocked.
    async fn hold(&self) -> LoadedKek {
        let (release, released) = mpsc::channel::<()>();
        let (started, mut has_started) = unbounded_channel();
        let writer = Arc::clone(&self.writer);
        let busy = tokio::spawn(async move {
            let work = move |_conn: &mut Conn| {
                let _ = started.send(());
                released.recv().map_err(|error| StoreError::Query(Arc::new(error)))
            };
            writer.run(Write::of(LockOrder::Nothing), work).await
        });
        has_started.recv().await.expect("the writer runs it");
        LoadedKek { release, busy }
    }
}

struct LoadedKek {
    release: mpsc::Sender<()>,
    busy: JoinHandle<Result<(), StoreError>>,
}

impl LoadedKek {
    async fn release(self) {
        self.release.send(()).expect("the writer waits");
        self.busy.await.expect("task").expect("run");
    }
}

fn principal() -> Principal {
    let login = Login::parse("tje0").expect("login");
    Principal { tenant: TenantId::single(), login, is_administrator: false }
}

#[tokio::test]
async fn a_refused_row_fails_alone() {
    let bench = Bench::new();
    let (taken, row) = bench.row();
    bench.writer.save(row).await.expect("first save");

    let held = bench.hold().await;
    let (before, after) = (bench.row(), bench.row());
    let (first, second, third, ()) = tokio::join!(
        bench.writer.save(before.1),
        bench.writer.save(bench.row_of(&taken)),
        bench.writer.save(after.1),
        held.release(),
    );
    first.expect("a good row");
    assert!(matches!(second, Err(StoreError::Conflict(_))), "{second:?}");
    third.expect("a good row");
    assert!(bench.is_saved(&taken) && bench.is_saved(&before.0) && bench.is_saved(&after.0));
}

#[tokio::test]
async fn a_full_queue_is_told_at_once_and_closing_commits_what_is_queued() {
    let bench = Bench::new();
    let held = bench.hold().await;
    let mut keys = Vec::new();
    let mut saves = Vec::new();
    loop {
        let (key, row) = bench.row();
        let mut save = Box::pin({
            let writer = Arc::clone(&bench.writer);
            async move { writer.save(row).await }
        });
        tokio::select! {
            biased;
            outcome = &mut save => {
                assert!(matches!(outcome, Err(StoreError::Overloaded)), "{outcome:?}");
                break;
            }
            () = tokio::task::yield_now() => {}
        }
        keys.push(key);
        saves.push(save);
    }
    assert_eq!(saves.len(), QUEUE);

    let writer = Arc::clone(&bench.writer);
    let closing = tokio::task::spawn_blocking(move || writer.close());
    held.release().await;
    for save in saves {
        save.await.expect("queued before the close");
    }
    closing.await.expect("close");
    assert!(keys.iter().all(|key| bench.is_saved(key)));
    let late = bench.writer.save(bench.row().1).await;
    assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
}

/// The row is inserted and the commit fails. An answer before the commit would be `Ok`.
#[tokio::test]
async fn nobody_is_told_that_a_failed_commit_saved_anything() {
    let bench = Bench::with(
        "PRAGMA foreign_keys = ON;
         CREATE TABLE parents (id INTEGER PRIMARY KEY);
         CREATE TABLE children
             (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER orphan AFTER INSERT ON external_tokens
             BEGIN INSERT INTO children VALUES (1); END;",
    );
    let (key, row) = bench.row();
    bench.writer.save(row).await.expect_err("the commit fails");
    assert!(!bench.is_saved(&key));
}

/// All writes take the locks that servers may wait for in one order. A write of several rows has its own transaction.
#[tokio::test]
async fn writes_keep_to_one_order() {
    let bench = Bench::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let orders = [
        LockOrder::Record(9),
        LockOrder::OwnTransaction,
        LockOrder::IdempotencyKey([1; 32]),
        LockOrder::Record(-3),
        LockOrder::Kek("b".to_owned()),
        LockOrder::Credential("a".to_owned()),
        LockOrder::Kek("a".to_owned()),
    ];
    let held = bench.hold().await;
    let writes = orders.iter().map(|locked| {
        let (written, order) = (locked.clone(), Arc::clone(&order));
        bench.writer.run(Write::of(locked.clone()), move |_conn| {
            order.lock().expect("lock").push(written.clone());
            match written {
                LockOrder::OwnTransaction => Err(StoreError::Conflict("on purpose")),
                _ => Ok(()),
            }
        })
    });
    let (outcomes, ()) = tokio::join!(futures_util::future::join_all(writes), held.release());
    let mut expected = orders.clone();
    expected.sort();
    assert_eq!(*order.lock().expect("lock"), expected, "each once: nothing was rolled back for it");
    let refused: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(refused, orders.map(|order| order == LockOrder::OwnTransaction));
}

#[tokio::test]
async fn a_panic_costs_one_write() {
    let bench = Bench::new();
    let outcome = bench
        .writer
        .run(Write::of(LockOrder::Nothing), |_conn| -> Outcome { panic!("on purpose") })
        .await;
    assert!(matches!(outcome, Err(StoreError::Query(_))), "{outcome:?}");
    let (key, row) = bench.row();
    bench.writer.save(row).await.expect("the next write");
    assert!(bench.is_saved(&key));
}
