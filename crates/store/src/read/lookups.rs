//! Batched look-ups on PostgreSQL: look-ups of many callers at the same time become one statement.
//!
//! Invariant: no look-up is delayed to build a larger batch. A free connection takes the queued look-ups at once. While
//! all connections are busy, the next batch grows.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use model::{Application, CredentialId, Login, TenantId, User};
use tokio::sync::oneshot;

use crate::{
    Database, FoundCredential, StoreError,
    backend::{
        conn::{Conn, read, with_slow_timeout},
        managed_conn::ManagedConn,
        outage::{Access, Outage},
    },
    figures::ReadFigures,
    tables::{
        applications, credentials,
        external_tokens::{self, TokenLookup, TokenRow},
        users,
    },
};

/// The most queued reads. Beyond that, callers get `Overloaded`.
const QUEUE: usize = 4096;
/// The most reads in one batch.
const BATCH: usize = 128;

/// A caller that waits for the row of its key.
pub(crate) type Waiting<K, V> = (K, oneshot::Sender<Result<Option<V>, StoreError>>);

/// A queued read.
pub(crate) enum Lookup {
    User(Waiting<(TenantId, Login), User>),
    Credential(Waiting<CredentialId, FoundCredential>),
    /// By the digest of its token.
    Application(Waiting<Vec<u8>, Application>),
    ApplicationNamed(Waiting<String, Application>),
    Tokens(Waiting<TokenLookup, TokenRow>),
    /// A rare read, run as a statement of its own after the rest of its batch.
    Other(Work),
    /// A read that may keep a connection for a minute.
    Slow(Work),
}

type Work = Box<dyn FnOnce(&mut ManagedConn) + Send>;

/// The threads that run reads, one for each connection.
pub(crate) struct Lookups {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    /// Held during a slow read, so that at most one runs.
    slow_query: tokio::sync::Mutex<()>,
    outage: Arc<Outage>,
    figures: ReadFigures,
}

impl Lookups {
    /// Starts the threads. Each connects at its first read.
    pub(crate) fn start(database: &Database, connections: usize, outage: Arc<Outage>) -> Self {
        let queue = Arc::new(Queue { connections, ..Queue::default() });
        let threads = (0..connections).map(|_| {
            let (queue, managed) = (Arc::clone(&queue), ManagedConn::reading(database.clone()));
            let thread = thread::Builder::new().name("latchkey-reader".to_owned());
            thread.spawn(move || ask(&queue, managed)).expect("the system can start a thread")
        });
        let threads = threads.collect();
        let (slow_query, figures) = (tokio::sync::Mutex::default(), ReadFigures::default());
        Self { queue, threads, slow_query, outage, figures }
    }

    /// Returns the reads so far.
    pub(crate) fn figures(&self) -> &ReadFigures {
        &self.figures
    }

    /// Returns the row of a key.
    ///
    /// # Errors
    /// - `Overloaded`: too many reads are queued.
    /// - `Unavailable`: the server cannot be reached.
    pub(crate) async fn find<K, V>(
        &self,
        key: K,
        lookup: fn(Waiting<K, V>) -> Lookup,
    ) -> Result<Option<V>, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue.add(lookup((key, answer)))?;
        self.answer(answered).await
    }

    /// Runs any other read.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(query, Lookup::Other).await
    }

    /// Runs a read of many rows. At most one runs at a time, so that a connection is left for callers.
    pub(crate) async fn run_slowly<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _alone = self.slow_query.lock().await;
        self.submit(|conn| with_slow_timeout(conn, query), Lookup::Slow).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
        lookup: fn(Work) -> Lookup,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let work = move |managed: &mut ManagedConn| {
            // The caller may have gone away.
            let _ = answer.send(managed.run(|conn| read(conn, query)));
        };
        self.queue.add(lookup(Box::new(work)))?;
        self.answer(answered).await
    }

    async fn answer<T>(
        &self,
        answered: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let outcome = answered.await.unwrap_or(Err(StoreError::Closed));
        self.figures.read(begun, outcome.is_ok());
        self.outage.watch(Access::Read, outcome)
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // An error means that the thread has ended already.
            let _ = thread.join();
        }
    }
}

/// The queue of reads.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    grew: Condvar,
    ended: Condvar,
    /// Connections that serve no callers: failed and not reconnected yet, or running a slow read.
    absent: AtomicUsize,
    /// Number of connections.
    connections: usize,
}

#[derive(Default)]
struct State {
    lookups: VecDeque<Lookup>,
    is_closed: bool,
}

impl Queue {
    fn add(&self, lookup: Lookup) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lookups.len() >= QUEUE {
            return Err(StoreError::Overloaded);
        }
        state.lookups.push_back(lookup);
        drop(state);
        self.grew.notify_one();
        Ok(())
    }

    /// Waits for reads. Returns `None` once the queue is closed.
    fn take(&self) -> Option<Vec<Lookup>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .grew
            .wait_while(state, |state| state.lookups.is_empty() && !state.is_closed)
            .unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return None;
        }
        // A long read ends the batch, so that the reads after it are left to another connection.
        let is_long = |lookup: &Lookup| matches!(lookup, Lookup::Other(_) | Lookup::Slow(_));
        let long = state.lookups.iter().position(is_long);
        let count = long.map_or(state.lookups.len(), |index| index + 1).min(BATCH);
        let taken = state.lookups.drain(..count).collect();
        if !state.lookups.is_empty() {
            self.grew.notify_one();
        }
        Some(taken)
    }

    /// Returns look-ups to the front of the queue.
    fn give_back(&self, lookups: Vec<Lookup>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for lookup in lookups.into_iter().rev() {
            state.lookups.push_front(lookup);
        }
        drop(state);
        self.grew.notify_one();
    }

    /// Waits at most `time` for the queue to close. Returns whether it is closed.
    fn is_closed_within(&self, time: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.wait_timeout_while(state, time, |state| !state.is_closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    /// Returns whether another connection serves callers.
    fn has_others(&self) -> bool {
        self.absent.load(Ordering::Relaxed) < self.connections
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.grew.notify_all();
        self.ended.notify_all();
    }
}

/// Runs queued reads until the queue is closed. A failed connection leaves them to the others until it works again. If
/// no connection works, callers get the error at once.
fn ask(queue: &Queue, mut managed: ManagedConn) {
    loop {
        if managed.is_away() && queue.has_others() {
            if queue.is_closed_within(managed.pause()) {
                return;
            }
            let _ = managed.run(|_conn| Ok(()));
            if !managed.is_away() {
                queue.absent.fetch_sub(1, Ordering::Relaxed);
            }
            continue;
        }
        let Some(lookups) = queue.take() else { return };
        // Another connection may have recovered while this one waited.
        if managed.is_away() && queue.has_others() {
            queue.give_back(lookups);
            continue;
        }
        let was_away = managed.is_away();
        answer(queue, &mut managed, lookups);
        match (was_away, managed.is_away()) {
            (false, true) => queue.absent.fetch_add(1, Ordering::Relaxed),
            (true, false) => queue.absent.fetch_sub(1, Ordering::Relaxed),
            _ => continue,
        };
    }
}

/// Answers a batch with one statement for each kind of look-up, and then runs its long read.
fn answer(queue: &Queue, managed: &mut ManagedConn, lookups: Vec<Lookup>) {
    let (mut users, mut credentials, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    let (mut applications, mut names) = (Vec::new(), Vec::new());
    // `take` ends a batch after a long read, so there is at most one.
    let mut long = None;
    for lookup in lookups {
        match lookup {
            Lookup::User(waiting) => users.push(waiting),
            Lookup::Credential(waiting) => credentials.push(waiting),
            Lookup::Application(waiting) => applications.push(waiting),
            Lookup::ApplicationNamed(waiting) => names.push(waiting),
            Lookup::Tokens(waiting) => tokens.push(waiting),
            Lookup::Other(_) | Lookup::Slow(_) => long = Some(lookup),
        }
    }
    together(managed, users, users::find_all);
    together(managed, credentials, credentials::find_all);
    together(managed, applications, applications::find_all);
    together(managed, names, applications::find_all_named);
    together(managed, tokens, external_tokens::find_all);
    match long {
        Some(Lookup::Other(work)) => work(managed),
        Some(Lookup::Slow(work)) => {
            queue.absent.fetch_add(1, Ordering::Relaxed);
            work(managed);
            queue.absent.fetch_sub(1, Ordering::Relaxed);
        }
        _ => {}
    }
}

type FindAll<K, V> = fn(&mut Conn, &[K]) -> Result<HashMap<K, V>, StoreError>;

fn together<K: Eq + Hash, V: Clone>(
    managed: &mut ManagedConn,
    waiting: Vec<Waiting<K, V>>,
    find_all: FindAll<K, V>,
) {
    if waiting.is_empty() {
        return;
    }
    let (keys, answers): (Vec<K>, Vec<_>) = waiting.into_iter().unzip();
    let found = managed.run(|conn| find_all(conn, &keys));
    for (key, answer) in keys.iter().zip(answers) {
        let _ = answer.send(match &found {
            Ok(found) => Ok(found.get(key).cloned()),
            Err(error) => Err(error.clone()),
        });
    }
}
