//! The handle to the writer: group commit after a bounded queue.
//!
//! Invariant: the queue is bounded in writes and in bytes. Beyond either bound a write is rejected at once.

#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    batch::{Change, Job, Pending, Save},
    committer::Committer,
    lock_order::{LockOrder, Write},
};
use crate::{
    Clock, StoreError,
    backend::{
        conn::Conn,
        managed_conn::ManagedConn,
        outage::{Access, Outage},
        sqlite::wal::WriteAheadLog,
    },
    figures::WriteFigures,
    tables::{
        external_tokens::{self, TokenRow},
        grants::GrantRow,
        idempotency_keys::IdempotencyRow,
    },
};

/// The most queued writes. Beyond that a write is rejected, and its caller may retry.
const QUEUE: usize = 1024;
/// The most bytes of queued rows.
const QUEUE_BYTES: usize = 32 << 20;

/// The handle to the writer's thread.
pub(crate) struct Writer {
    queue: SyncSender<Job>,
    room: Arc<Semaphore>,
    outage: Arc<Outage>,
    figures: Arc<WriteFigures>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, which owns the only connection that writes.
    pub(crate) fn start(
        managed: ManagedConn,
        log: Option<WriteAheadLog>,
        outage: Arc<Outage>,
    ) -> Self {
        let (queue, jobs) = sync_channel(QUEUE);
        let figures = Arc::<WriteFigures>::default();
        let noted = Arc::clone(&figures);
        let thread = thread::Builder::new()
            .name("latchkey-writer".to_owned())
            .spawn(move || Committer::new(managed, log, jobs, noted).run())
            .expect("the system can start a thread");
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        Self { queue, room, outage, figures, thread: Mutex::new(Some(thread)) }
    }

    /// Returns the work of the writer so far.
    pub(crate) fn figures(&self) -> &WriteFigures {
        &self.figures
    }

    /// Commits a row together with the other queued writes.
    pub(crate) async fn save(&self, row: TokenRow) -> Result<(), StoreError> {
        let room = self.room(&row)?;
        let (answer, answered) = oneshot::channel();
        let queued = Instant::now();
        let save = Save { row: Box::new(row), answer, queued, _room: room };
        self.submit(Job::Save(save), answered).await
    }

    /// Saves a row like `save`. In the same transaction, reserves an idempotency key and adds the record's grant, if
    /// given. `Reserved`: the key is taken, and nothing was changed.
    pub(crate) async fn save_with(
        &self,
        row: TokenRow,
        reservation: Option<IdempotencyRow>,
        grant: Option<GrantRow>,
        clock: Clock,
    ) -> Result<(), StoreError> {
        let room = self.room(&row)?;
        let order = match &reservation {
            Some(reservation) => LockOrder::IdempotencyKey(reservation.digest()),
            None => LockOrder::Record(row.id),
        };
        let write = Write { size: row.size(), ..Write::of(order) };
        let save = move |conn: &mut Conn| {
            if let Some(reservation) = &reservation {
                reservation.insert(conn, clock.now())?;
            }
            external_tokens::insert_all(conn, &[&row])?;
            grant.as_ref().map_or(Ok(()), |grant| grant.insert(conn))
        };
        self.submit_change(write, Some(room), save).await
    }

    /// Commits any other write together with the queued ones. Returns its result in the committed transaction. `change`
    /// may be called again after a rollback.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        write: Write,
        change: impl FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit_change(write, None, change).await
    }

    /// Lets the thread finish the queue and end. Blocks until then.
    pub(crate) fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // An error means that the thread has ended already.
            let _ = self.queue.send(Job::Close);
            let _ = thread.join();
        }
    }

    /// Reserves room for a row in the queue.
    fn room(&self, row: &TokenRow) -> Result<OwnedSemaphorePermit, StoreError> {
        let size = row.size().min(QUEUE_BYTES) as u32;
        let room = Arc::clone(&self.room).try_acquire_many_owned(size);
        room.map_err(|_full| StoreError::Overloaded)
    }

    async fn submit_change<T: Send + 'static>(
        &self,
        write: Write,
        room: Option<OwnedSemaphorePermit>,
        change: impl FnMut(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(Pending::new(change, answer));
        let change = Change { write, work, queued: Instant::now(), _room: room };
        self.submit(Job::Change(change), answered).await
    }

    async fn submit<T>(
        &self,
        job: Job,
        answered: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.figures.queued();
        self.queue.try_send(job).map_err(|error| {
            self.figures.refused();
            match error {
                TrySendError::Full(_) => StoreError::Overloaded,
                TrySendError::Disconnected(_) => StoreError::Closed,
            }
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
