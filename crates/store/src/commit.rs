//! Group commit: the one writer, and the queue before it.
//!
//! Invariant: a caller is answered only after the transaction that holds its row was committed, and
//! a row that the database refuses never fails its neighbours.

use std::{
    slice,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use model::{Login, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::warn;

use crate::{
    StoreError,
    checkpoint::Log,
    conn::{self, Conn, PAGE_SIZE},
    error::told,
    external_tokens::{self, TokenRow},
    link::Link,
    reservations::Reservation,
};

/// Writes that may wait; past that callers are told to come back.
const QUEUE: usize = 1024;
/// Bytes of rows that may wait.
const QUEUE_BYTES: usize = 32 << 20;
/// Writes in one transaction.
const BATCH: usize = 256;

type Outcome = Result<(), StoreError>;
type Answer = oneshot::Sender<Outcome>;
/// Changes rows, or says that there is nothing to change and changes nothing
/// (`StoreError::changed_nothing`). May be called again, after what it did was rolled back.
type Change = Box<dyn Fn(&mut Conn) -> Outcome + Send>;

/// What a write locks for as long as its transaction takes, if another server's may wait for it. All keep to
/// one order, that of the variants and of what is in them, so that no two servers wait for each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// The row of a master key.
    MasterKey(String),
    /// A user, by tenant and login.
    User(String, String),
    /// A credential, by its id.
    Credential(String),
    /// An idempotency key, by its digest.
    Reservation([u8; 32]),
    /// A record, by its id.
    Record(i64),
    /// Several rows, in the order of their keys, in a transaction that has nothing else.
    Alone,
}

/// A write that is no plain save.
struct Work {
    change: Change,
    /// `None` for what only adds rows, or is done by commands alone.
    turn: Option<Turn>,
    /// Whether what it takes away must be gone from the log as well.
    erases: bool,
    /// About how many bytes it takes.
    size: usize,
    /// Given back once it is written.
    _room: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// A change of this user.
    pub(crate) fn user(tenant: &TenantId, login: &Login) -> Self {
        Self::User(tenant.as_str().to_owned(), login.as_str().to_owned())
    }
}

impl Work {
    fn new(change: impl Fn(&mut Conn) -> Outcome + Send + 'static) -> Self {
        Self { change: Box::new(change), turn: None, erases: false, size: 0, _room: None }
    }
}

enum Job {
    Save(Box<TokenRow>, Answer, OwnedSemaphorePermit),
    Run(Work, Answer),
    Close,
}

/// The handle to the writer's thread.
pub(crate) struct Writer {
    queue: SyncSender<Job>,
    room: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which owns the only connection that writes.
    pub(crate) fn start(link: Link, log: Option<Log>) -> Self {
        let (queue, jobs) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("latchkey-writer".to_owned())
            .spawn(move || Thread { link, log, jobs }.run())
            .expect("the system can start a thread");
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        Self { queue, room, thread: Mutex::new(Some(thread)) }
    }

    /// Commits a row, together with what else is waiting.
    pub(crate) async fn save(&self, row: TokenRow) -> Outcome {
        let room = self.room(&row)?;
        self.submit(|answer| Job::Save(Box::new(row), answer, room)).await
    }

    /// As `save`, and reserves an idempotency key in the same transaction; `Reserved`, and nothing is changed,
    /// if it is taken.
    pub(crate) async fn save_once(&self, reservation: Reservation, row: TokenRow) -> Outcome {
        let (room, size) = (self.room(&row)?, row.size());
        let turn = Some(Turn::Reservation(reservation.digest()));
        let work = Work::new(move |conn| {
            reservation.insert(conn)?;
            external_tokens::insert_all(conn, slice::from_ref(&row))
        });
        self.submit_work(Work { turn, size, _room: Some(room), ..work }).await
    }

    /// Commits some other small write, together with what else is waiting.
    pub(crate) async fn run(
        &self,
        change: impl Fn(&mut Conn) -> Outcome + Send + 'static,
    ) -> Outcome {
        self.submit_work(Work::new(change)).await
    }

    /// As `run`, for a write that another server may do at the same time.
    pub(crate) async fn run_in_turn(
        &self,
        turn: Turn,
        change: impl Fn(&mut Conn) -> Outcome + Send + 'static,
    ) -> Outcome {
        self.submit_work(Work { turn: Some(turn), ..Work::new(change) }).await
    }

    /// Commits a write that changes so many rows of records: each of them writes a page to the log.
    pub(crate) async fn run_on_rows(
        &self,
        rows: usize,
        change: impl Fn(&mut Conn) -> Outcome + Send + 'static,
    ) -> Outcome {
        let (turn, size) = (Some(Turn::Alone), rows * PAGE_SIZE as usize);
        self.submit_work(Work { turn, size, ..Work::new(change) }).await
    }

    /// Commits a write that takes secrets away from so many rows. What was there before is gone from the log
    /// soon afterwards.
    pub(crate) async fn erase(
        &self,
        turn: Turn,
        rows: usize,
        change: impl Fn(&mut Conn) -> Outcome + Send + 'static,
    ) -> Outcome {
        let size = rows * PAGE_SIZE as usize;
        let work = Work { turn: Some(turn), erases: true, size, ..Work::new(change) };
        self.submit_work(work).await
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

    /// Room for a row among those that wait.
    fn room(&self, row: &TokenRow) -> Result<OwnedSemaphorePermit, StoreError> {
        let size = row.size().min(QUEUE_BYTES) as u32;
        let room = Arc::clone(&self.room).try_acquire_many_owned(size);
        room.map_err(|_full| StoreError::Overloaded)
    }

    async fn submit_work(&self, work: Work) -> Outcome {
        self.submit(|answer| Job::Run(work, answer)).await
    }

    async fn submit(&self, job: impl FnOnce(Answer) -> Job) -> Outcome {
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
    link: Link,
    /// The write-ahead log, where there is one.
    log: Option<Log>,
    jobs: Receiver<Job>,
}

/// What is committed together.
#[derive(Default)]
struct Batch {
    rows: Vec<TokenRow>,
    rows_answers: Vec<Answer>,
    works: Vec<(Work, Answer)>,
    /// Given back once the rows are written.
    room: Vec<OwnedSemaphorePermit>,
}

impl Batch {
    fn len(&self) -> usize {
        self.rows.len() + self.works.len()
    }

    fn add(&mut self, job: Job) {
        match job {
            Job::Save(row, answer, room) => {
                self.rows.push(*row);
                self.rows_answers.push(answer);
                self.room.push(room);
            }
            Job::Run(work, answer) => self.works.push((work, answer)),
            Job::Close => {}
        }
    }

    /// In the order in which it is written, and apart from it what needs a transaction of its own.
    fn in_order(mut self) -> (Self, Vec<Self>) {
        self.works.sort_by(|(one, _), (other, _)| one.turn.cmp(&other.turn));
        let together = self.works.partition_point(|(work, _)| work.turn < Some(Turn::Alone));
        let alone = self.works.split_off(together);
        let alone = alone.into_iter().map(|work| Self { works: vec![work], ..Self::default() });
        (self, alone.collect())
    }

    fn size(&self) -> usize {
        let works = self.works.iter().map(|(work, _answer)| work.size);
        self.rows.iter().map(TokenRow::size).chain(works).sum()
    }

    fn erases(&self) -> bool {
        self.works.iter().any(|(work, _answer)| work.erases)
    }
}

impl Thread {
    fn run(mut self) {
        let mut is_open = true;
        while is_open && let Some(first) = self.next_job() {
            let mut batch = Batch::default();
            let mut next = Some(first);
            while let Some(job) = next {
                is_open &= !matches!(job, Job::Close);
                batch.add(job);
                next = if batch.len() < BATCH { self.jobs.try_recv().ok() } else { None };
            }
            let (together, alone) = batch.in_order();
            for batch in [together].into_iter().chain(alone) {
                let (size, erases) = (batch.size(), batch.erases());
                self.commit(batch);
                if let Some(log) = &mut self.log {
                    log.tend(&mut self.link, size, erases);
                }
            }
        }
        if let Some(log) = self.log {
            log.settle(&mut self.link);
        }
    }

    /// Waits for something to do; meanwhile the log is cut when that is due. `None` when nothing will come.
    fn next_job(&mut self) -> Option<Job> {
        loop {
            let Some(log) = &mut self.log else { return self.jobs.recv().ok() };
            match self.jobs.recv_timeout(log.cut_is_due_in()) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Timeout) => log.cut(&mut self.link),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Commits everything at once; if something of it is refused, each on its own.
    fn commit(&mut self, batch: Batch) {
        if batch.len() == 0 {
            return;
        }
        let Batch { rows, rows_answers, works, room: _room } = batch;
        // Whoever went away has no use for its answer.
        match self.write(&rows, works.iter().map(|(work, _answer)| work)) {
            Ok(outcomes) => {
                rows_answers.into_iter().for_each(|answer| drop(answer.send(Ok(()))));
                for ((_work, answer), outcome) in works.into_iter().zip(outcomes) {
                    let _ = answer.send(outcome);
                }
            }
            Err(error) => {
                let is_alone = rows.len() + works.len() == 1;
                if !is_alone && !self.is_hopeless(&error) {
                    warn!(error = told(&error), "a write was refused; committing one by one");
                    return self.commit_each(rows, rows_answers, works);
                }
                let answers = works.into_iter().map(|(_work, answer)| answer);
                for answer in rows_answers.into_iter().chain(answers) {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    fn commit_each(
        &mut self,
        rows: Vec<TokenRow>,
        rows_answers: Vec<Answer>,
        works: Vec<(Work, Answer)>,
    ) {
        let mut end = None;
        for (row, answer) in rows.iter().zip(rows_answers) {
            let outcome = self.write_alone(&mut end, slice::from_ref(row), None);
            let _ = answer.send(outcome);
        }
        for (work, answer) in works {
            let _ = answer.send(self.write_alone(&mut end, &[], Some(&work)));
        }
    }

    /// One row or work; once the database is away, nothing more is tried.
    fn write_alone(
        &mut self,
        end: &mut Option<StoreError>,
        row: &[TokenRow],
        work: Option<&Work>,
    ) -> Outcome {
        if let Some(error) = end {
            return Err(error.clone());
        }
        let outcome = self.write(row, work).and_then(|outcomes| outcomes.into_iter().collect());
        if let Err(error) = &outcome
            && self.is_hopeless(error)
        {
            *end = Some(error.clone());
        }
        outcome
    }

    /// Whether any other write would fail as well. On a file, whatever makes it unavailable does so for
    /// all; a server may have refused but one row.
    fn is_hopeless(&self, error: &StoreError) -> bool {
        matches!(error, StoreError::Unavailable(_)) && (self.log.is_some() || self.link.is_away())
    }

    /// One transaction, of rows and other works; what became of each work.
    fn write<'a>(
        &mut self,
        rows: &[TokenRow],
        works: impl IntoIterator<Item = &'a Work>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let works: Vec<&Work> = works.into_iter().collect();
        self.link.run(|conn| match conn {
            // A statement is a transaction, and takes one way to the server and back.
            Conn::Postgres(_) if works.is_empty() => {
                external_tokens::insert_all(conn, rows).map(|()| Vec::new())
            }
            _ => conn::write(conn, |conn| {
                external_tokens::insert_all(conn, rows)?;
                let outcomes = works.iter().map(|work| match (work.change)(conn) {
                    // Nobody else's write is undone for it.
                    Err(error) if error.changed_nothing() => Ok(Err(error)),
                    outcome => outcome.map(Ok),
                });
                outcomes.collect()
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Database, KeySource, Keys, external_tokens::Wanted, ids::Ids, keyring::Keyring, lock,
        migrate,
    };
    use diesel::connection::SimpleConnection as _;
    use model::{Principal, Provider, RetrievalKey, TokenManagementInfo};
    use std::sync::mpsc;
    use tokio::{sync::mpsc::unbounded_channel, task::JoinHandle};

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
            let mut conn = Conn::writing(&database).expect("connect");
            migrate::run(&mut conn).expect("migrate");
            let keys = Keys {
                source: KeySource::Directory,
                directory: folder.path().join("keys"),
                secret: None,
                module: None,
            };
            let keyring = Keyring::begin(&keys, &mut conn).expect("keyring");
            conn.batch_execute(sql).expect(sql);
            let link = Link::writing(database.clone(), conn);
            let writer = Arc::new(Writer::start(link, Log::of(&database)));
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
            let mut conn = Conn::writing(&self.database).expect("connect");
            external_tokens::find(&mut conn, &Wanted::by(key)).expect("read").is_some()
        }

        /// Holds the writer up, so that what is queued meanwhile becomes one batch; returns once it
        /// is held up.
        async fn hold(&self) -> Held {
            let (release, released) = mpsc::channel::<()>();
            let (started, mut has_started) = unbounded_channel();
            let writer = Arc::clone(&self.writer);
            let busy = tokio::spawn(async move {
                let work = move |_conn: &mut Conn| {
                    let _ = started.send(());
                    released.recv().map_err(|error| StoreError::Query(Arc::new(error)))
                };
                writer.run(work).await
            });
            has_started.recv().await.expect("the writer runs it");
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

    /// What servers may wait for each other for, they all take in one order; what takes several rows has a
    /// transaction of its own.
    #[tokio::test]
    async fn writes_keep_to_one_order() {
        let bench = Bench::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        let turns = [
            Turn::Record(9),
            Turn::Alone,
            Turn::Reservation([1; 32]),
            Turn::Record(-3),
            Turn::MasterKey("b".to_owned()),
            Turn::Credential("a".to_owned()),
            Turn::MasterKey("a".to_owned()),
        ];
        let held = bench.hold().await;
        let writes = turns.iter().map(|turn| {
            let (written, order) = (turn.clone(), Arc::clone(&order));
            bench.writer.run_in_turn(turn.clone(), move |_conn| {
                order.lock().expect("lock").push(written.clone());
                match written {
                    Turn::Alone => Err(StoreError::Conflict("on purpose")),
                    _ => Ok(()),
                }
            })
        });
        let (outcomes, ()) = tokio::join!(futures_util::future::join_all(writes), held.release());
        let mut expected = turns.clone();
        expected.sort();
        assert_eq!(
            *order.lock().expect("lock"),
            expected,
            "each once: nothing was rolled back for it"
        );
        let refused: Vec<bool> = outcomes.iter().map(Result::is_err).collect();
        assert_eq!(refused, turns.map(|turn| turn == Turn::Alone));
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
