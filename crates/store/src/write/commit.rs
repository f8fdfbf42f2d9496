//! Group commit: the one writer, and the queue before it.
//!
//! Invariant: a caller is answered only after the transaction that holds its row was committed, to the file that
//! is then at the database's path, and a row that the database refuses never fails its neighbours.

#[cfg(test)]
mod tests;

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
    backend::{
        conn::{self, Conn, PAGE_SIZE},
        link::Link,
        outage::{Access, Outage},
        sqlite::checkpoint::Log,
    },
    error::told,
    tables::{
        external_tokens::{self, TokenRow},
        reservations::Reservation,
    },
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
    outage: Arc<Outage>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which owns the only connection that writes.
    pub(crate) fn start(link: Link, log: Option<Log>, outage: Arc<Outage>) -> Self {
        let (queue, jobs) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("latchkey-writer".to_owned())
            .spawn(move || Thread { link, log, jobs }.run())
            .expect("the system can start a thread");
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        Self { queue, room, outage, thread: Mutex::new(Some(thread)) }
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
        let outcome = answered.await.unwrap_or(Err(StoreError::Closed));
        self.outage.watch(Access::Write, outcome)
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

    /// In the order in which it is written, and behind it, one by one, what needs a transaction of its own.
    fn in_order(mut self) -> Vec<Self> {
        self.works.sort_by(|(one, _), (other, _)| one.turn.cmp(&other.turn));
        let together = self.works.partition_point(|(work, _)| work.turn < Some(Turn::Alone));
        let alone = self.works.split_off(together);
        let alone = alone.into_iter().map(|work| Self { works: vec![work], ..Self::default() });
        [self].into_iter().chain(alone).collect()
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
            for batch in batch.in_order() {
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
                    // Of a database that cannot be written each batch is; that is said once.
                    if !matches!(error, StoreError::Unavailable(_)) {
                        warn!(error = told(&error), "a write was refused; committing one by one");
                    }
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
        if self.link.refuse_other_file().is_err() {
            self.link.check_place()?;
        }
        let outcomes = self.link.run(|conn| match conn {
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
        })?;
        if let Err(error) = self.link.check_files() {
            // So that the file that was moved has all that was acknowledged, whatever becomes of its log.
            self.log.iter_mut().for_each(Log::take_over);
            return Err(error);
        }
        Ok(outcomes)
    }
}
