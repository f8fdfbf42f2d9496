//! Group commit: the one writer, and the queue before it.
//!
//! Invariant: a caller is answered only after the transaction that holds its row was committed, and
//! a row that the database refuses never fails its neighbours.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use tokio::sync::oneshot;
use tracing::warn;

use crate::{
    Database, StoreError,
    conn::{self, Conn},
    error::Panicked,
    external_tokens::{self, TokenRow},
};

/// Writes that may wait; past that callers are told to come back.
const QUEUE: usize = 1024;
/// Rows in one transaction.
const BATCH: usize = 256;

type Answer = oneshot::Sender<Result<(), StoreError>>;
type Work = Box<dyn FnOnce(&mut Conn) -> Result<(), StoreError> + Send>;

enum Job {
    Save(Box<TokenRow>, Answer),
    Run(Work, Answer),
    Close,
}

/// The handle to the writer's thread.
pub(crate) struct Writer {
    queue: SyncSender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which owns the only connection that writes.
    pub(crate) fn start(database: Database, conn: Conn) -> Self {
        let (queue, jobs) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("latchkey-writer".to_owned())
            .spawn(move || Thread { database, conn: Some(conn), jobs }.run())
            .expect("the system can start a thread");
        Self { queue, thread: Mutex::new(Some(thread)) }
    }

    /// Commits a row, together with what else is waiting.
    pub(crate) async fn save(&self, row: TokenRow) -> Result<(), StoreError> {
        self.submit(|answer| Job::Save(Box::new(row), answer)).await
    }

    /// Runs some other small write in a transaction of its own.
    pub(crate) async fn run(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.submit(|answer| Job::Run(Box::new(work), answer)).await
    }

    /// Lets the thread finish what is queued and end; blocks until then.
    pub(crate) fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // An error means that the thread is gone already.
            let _ = self.queue.send(Job::Close);
            let _ = thread.join();
        }
    }

    async fn submit(&self, job: impl FnOnce(Answer) -> Job) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(job(answer)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

struct Thread {
    database: Database,
    /// `None` after a failure, until the next write opens it anew.
    conn: Option<Conn>,
    jobs: Receiver<Job>,
}

impl Thread {
    fn run(mut self) {
        let mut is_open = true;
        while is_open && let Ok(first) = self.jobs.recv() {
            let mut saves = Vec::new();
            let mut others = Vec::new();
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Save(row, answer) => saves.push((*row, answer)),
                    Job::Run(work, answer) => others.push((work, answer)),
                    Job::Close => is_open = false,
                }
                let has_room = saves.len() < BATCH;
                next = if has_room { self.jobs.try_recv().ok() } else { None };
            }
            self.commit(saves);
            for (work, answer) in others {
                // Whoever went away has no use for the answer.
                let _ = answer.send(self.write(work));
            }
        }
        if let Some(conn) = &mut self.conn
            && let Err(error) = conn::settle(conn)
        {
            warn!(%error, "the write-ahead log is left to the next start");
        }
    }

    /// Commits all rows at once; if one of them is refused, each on its own.
    fn commit(&mut self, saves: Vec<(TokenRow, Answer)>) {
        if saves.is_empty() {
            return;
        }
        let together = self.write(|conn| {
            saves.iter().try_for_each(|(row, _answer)| external_tokens::insert(conn, row))
        });
        match together {
            Ok(()) => {
                for (_row, answer) in saves {
                    let _ = answer.send(Ok(()));
                }
            }
            Err(StoreError::Unavailable(cause)) => {
                for (_row, answer) in saves {
                    let _ = answer.send(Err(StoreError::Unavailable(Arc::clone(&cause))));
                }
            }
            Err(error) => {
                warn!(%error, rows = saves.len(), "a row was refused; committing one by one");
                for (row, answer) in saves {
                    let _ = answer.send(self.write(|conn| external_tokens::insert(conn, &row)));
                }
            }
        }
    }

    /// One transaction. Unless it was committed or a row was refused, the connection is opened anew,
    /// for what state a half-done commit or rollback leaves behind is not to be guessed. A panic fails
    /// this transaction and no other.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Conn) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => {
                self.database.connect().map_err(|error| StoreError::Unavailable(Arc::new(error)))?
            }
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| conn::write(&mut conn, work)))
            .unwrap_or_else(|_panic| Err(StoreError::Query(Arc::new(Panicked))));
        if matches!(outcome, Ok(_) | Err(StoreError::Conflict(_) | StoreError::NotFound(_))) {
            self.conn = Some(conn);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Ids, keyring::Keyring, lock, migrate};
    use diesel::connection::SimpleConnection as _;
    use model::{Login, Principal, Provider, RetrievalKey, TenantId, TokenManagementInfo};
    use std::sync::mpsc;
    use tokio::task::JoinHandle;

    /// A writer on a database of its own, and what is needed to make rows and read them.
    struct Bench {
        writer: Arc<Writer>,
        database: Database,
        keyring: Keyring,
        ids: Ids,
        _folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            Self::with("")
        }

        /// With some SQL run on the writer's own connection.
        fn with(sql: &str) -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let database = Database::Sqlite(folder.path().join("test.db"));
            let (database, _lock) = lock::take(&database).expect("lock");
            let mut conn = database.connect().expect("connect");
            migrate::run(&mut conn).expect("migrate");
            let keyring = Keyring::begin(&folder.path().join("keys"), &mut conn).expect("keyring");
            conn.batch_execute(sql).expect(sql);
            let writer = Arc::new(Writer::start(database.clone(), conn));
            Self { writer, database, keyring, ids: Ids::default(), _folder: folder }
        }

        fn row(&self) -> (RetrievalKey, TokenRow) {
            let key = self.ids.new_key();
            let row = self.row_of(&key);
            (key, row)
        }

        fn row_of(&self, key: &RetrievalKey) -> TokenRow {
            let carrier = TokenManagementInfo {
                provider: Provider::parse("et").expect("provider"),
                access_token: Some("fugit".into()),
                refresh_token: None,
                claims: None,
            };
            external_tokens::seal(&principal(), &carrier, key, &self.keyring)
        }

        fn is_saved(&self, key: &RetrievalKey) -> bool {
            let mut conn = self.database.connect().expect("connect");
            external_tokens::open(&mut conn, &principal().tenant, key, &self.keyring)
                .expect("read")
                .is_some()
        }

        /// Holds the writer up, so that what is queued meanwhile becomes one batch; returns once it
        /// is held up.
        async fn hold(&self) -> Held {
            let (release, released) = mpsc::channel::<()>();
            let (started, has_started) = oneshot::channel();
            let writer = Arc::clone(&self.writer);
            let busy = tokio::spawn(async move {
                let work = move |_conn: &mut Conn| {
                    let _ = started.send(());
                    released.recv().map_err(|error| StoreError::Query(Arc::new(error)))
                };
                writer.run(work).await
            });
            has_started.await.expect("the writer runs it");
            Held { release, busy }
        }
    }

    struct Held {
        release: mpsc::Sender<()>,
        busy: JoinHandle<Result<(), StoreError>>,
    }

    impl Held {
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

    /// The row goes in, the commit fails: had the answer come before the commit, it would be `Ok`.
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

    #[tokio::test]
    async fn a_panic_costs_one_write() {
        let bench = Bench::new();
        let outcome = bench.writer.run(|_conn| panic!("on purpose")).await;
        assert!(matches!(outcome, Err(StoreError::Query(_))), "{outcome:?}");
        let (key, row) = bench.row();
        bench.writer.save(row).await.expect("the next write");
        assert!(bench.is_saved(&key));
    }
}
