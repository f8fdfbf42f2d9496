//! What is under way in this process at providers, and with records whose tokens that may change.
//!
//! Invariant: of a record or a code there is one at most. It is a task of its own: no caller can end it, and every
//! caller that waits for it learns its end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use model::RecordId;
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    time,
};

use super::error::GrantError;

/// How often a server that stops looks whether the tasks have ended.
const LOOK: Duration = Duration::from_millis(20);

/// What a task is about: one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flight {
    /// What sends or replaces the tokens of a record: a refresh, a revocation, another key.
    Record(RecordId),
    /// The introspection of a record's access token.
    Introspection(RecordId),
    /// The exchange of a code, by its digest.
    Exchange([u8; 32]),
}

/// How a task ended: if well, the record is to be read again.
pub(super) type End = Result<(), GrantError>;

/// The end of a task, once it is there.
pub(super) type Ending = watch::Receiver<Option<End>>;

/// The tasks. Cheap to clone; all clones are one list.
#[derive(Clone)]
pub(super) struct InFlight {
    /// The tasks run there, and not where a call happens to be answered, because that thread stops before they end.
    runtime: Handle,
    /// How many there may be, those that wait for their turn included.
    most: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    tasks: HashMap<Flight, Ending>,
    is_stopping: bool,
}

impl InFlight {
    pub(super) fn new(runtime: Handle, most: usize) -> Self {
        Self { runtime, most, state: Arc::default() }
    }

    /// The task that is under way, or else this one, which begins.
    ///
    /// # Errors
    /// `Busy` when the server is stopping, or when there are as many as there may be.
    pub(super) fn join_or_start<F: Future<Output = End> + Send + 'static>(
        &self,
        flight: Flight,
        task: impl FnOnce() -> F,
    ) -> Result<Ending, GrantError> {
        let mut state = self.state();
        if state.is_stopping {
            return Err(GrantError::Busy);
        }
        // One that panicked has no sender any more.
        let known = state.tasks.get(&flight).filter(|ending| ending.has_changed().is_ok());
        if let Some(known) = known {
            return Ok(known.clone());
        }
        if state.tasks.len() >= self.most {
            return Err(GrantError::Busy);
        }
        let (sender, ending) = watch::channel(None);
        state.tasks.insert(flight, ending.clone());
        drop(state);
        let (list, task) = (self.clone(), task());
        self.runtime.spawn(async move {
            let end = task.await;
            list.state().tasks.remove(&flight);
            sender.send_replace(Some(end));
        });
        Ok(ending)
    }

    /// Runs this task once those before it, about the same, have ended, and returns what came of it. Once it has begun, it
    /// goes on when the caller goes away.
    ///
    /// # Errors
    /// As `join_or_start`, and `Busy` if those before it do not end in time, or this one panics. Unless it panicked, it
    /// was not run.
    pub(super) async fn run_alone<T, F>(
        &self,
        flight: Flight,
        until: Instant,
        task: impl Fn() -> F,
    ) -> Result<T, GrantError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        loop {
            let (sender, outcome) = oneshot::channel();
            let mut is_ours = false;
            let mut ending = self.join_or_start(flight, || {
                is_ours = true;
                let task = task();
                async move {
                    // Nobody may be waiting for it any more.
                    let _ = sender.send(task.await);
                    Ok(())
                }
            })?;
            if is_ours {
                return outcome.await.map_err(|_panicked| GrantError::Busy);
            }
            // One that panicked has ended, too.
            let ended = time::timeout_at(until.into(), ending.wait_for(Option::is_some));
            if ended.await.is_err() {
                return Err(GrantError::Busy);
            }
        }
    }

    /// Whether the server is stopping: then no request begins any more.
    pub(super) fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    /// Whether this task is under way.
    pub(super) fn has(&self, flight: Flight) -> bool {
        let state = self.state();
        state.tasks.get(&flight).is_some_and(|ending| ending.has_changed().is_ok())
    }

    /// Lets no task begin any more, and waits for those that are under way, at most this long. How many had not
    /// ended then.
    pub(super) async fn finish(&self, at_most: Duration) -> usize {
        self.state().is_stopping = true;
        let until = Instant::now() + at_most;
        loop {
            let left = self.living();
            if left == 0 || Instant::now() >= until {
                return left;
            }
            time::sleep(LOOK).await;
        }
    }

    fn living(&self) -> usize {
        self.state().tasks.values().filter(|ending| ending.has_changed().is_ok()).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end of a task until a time.
///
/// # Errors
/// `Busy` if it does not come, and what the task failed with.
pub(super) async fn wait(mut ending: Ending, until: Instant) -> End {
    match time::timeout_at(until.into(), ending.wait_for(Option::is_some)).await {
        Ok(Ok(end)) => end.clone().unwrap_or(Err(GrantError::Busy)),
        // It panicked, or the time is over.
        Ok(Err(_)) | Err(_) => Err(GrantError::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn one_record_has_one_refresh_and_every_caller_its_end() {
        let list = InFlight::new(Handle::current(), 2);
        let record = Flight::Record(RecordId::from_i64(1).expect("id"));
        let (open, gate) = oneshot::channel::<()>();
        let first = async move {
            let _ = gate.await;
            Err(GrantError::Paused)
        };
        let first = list.join_or_start(record, || first).expect("it begins");
        let second = list.join_or_start(record, || async { Ok(()) }).expect("it joins");
        assert_eq!(list.living(), 1);
        open.send(()).expect("it waits");
        for ending in [first, second] {
            assert!(matches!(wait(ending, soon()).await, Err(GrantError::Paused)));
        }
        let next = list.join_or_start(record, || async { Ok(()) }).expect("it begins");
        assert!(wait(next, soon()).await.is_ok());
        assert_eq!(list.finish(Duration::ZERO).await, 0);
        assert!(matches!(list.join_or_start(record, || async { Ok(()) }), Err(GrantError::Busy)));
    }

    #[tokio::test]
    async fn a_task_that_panics_is_in_nobodys_way() {
        let list = InFlight::new(Handle::current(), 2);
        let record = Flight::Record(RecordId::from_i64(1).expect("id"));
        let panics =
            list.join_or_start(record, || async { panic!("on purpose") }).expect("it begins");
        assert!(matches!(wait(panics, soon()).await, Err(GrantError::Busy)));
        let next = list.join_or_start(record, || async { Ok(()) }).expect("it begins");
        assert!(wait(next, soon()).await.is_ok());
        assert_eq!(list.finish(Duration::from_secs(1)).await, 0);
    }

    /// What is run alone waits for what is under way, and is ended by no caller.
    #[tokio::test]
    async fn what_runs_alone_waits_for_what_was_before() {
        let list = InFlight::new(Handle::current(), 2);
        let record = Flight::Record(RecordId::from_i64(1).expect("id"));
        let (open, gate) = oneshot::channel::<()>();
        let first = async move {
            let _ = gate.await;
            Err(GrantError::Paused)
        };
        list.join_or_start(record, || first).expect("it begins");
        let late = list.run_alone(record, Instant::now(), || async { 1 }).await;
        assert!(matches!(late, Err(GrantError::Busy)));
        let (sender, mut ran) = tokio::sync::mpsc::unbounded_channel();
        let alone = {
            let (list, sender) = (list.clone(), sender.clone());
            let task = move || {
                let sender = sender.clone();
                async move { sender.send(2).expect("it is there") }
            };
            tokio::spawn(async move { list.run_alone(record, soon(), task).await })
        };
        time::sleep(LOOK).await;
        assert!(ran.try_recv().is_err(), "it waits");
        open.send(()).expect("it waits");
        alone.await.expect("no panic").expect("it ran");
        assert_eq!(ran.recv().await, Some(2));

        let (open, gate) = oneshot::channel::<()>();
        let gate = Arc::new(Mutex::new(Some(gate)));
        let task = move || {
            let (gate, sender) = (gate.lock().expect("gate").take(), sender.clone());
            async move {
                let _ = gate.expect("it runs once").await;
                sender.send(3).expect("it is there");
            }
        };
        let caller = {
            let list = list.clone();
            tokio::spawn(async move { list.run_alone(record, soon(), task).await })
        };
        while !list.has(record) {
            time::sleep(LOOK).await;
        }
        caller.abort();
        assert!(caller.await.expect_err("it was ended").is_cancelled());
        open.send(()).expect("it goes on");
        assert_eq!(ran.recv().await, Some(3));
        let panics = list.run_alone(record, soon(), || async { panic!("on purpose") }).await;
        assert!(matches!(panics.map(|(): ()| ()), Err(GrantError::Busy)));
    }

    #[tokio::test]
    async fn waiting_ends_in_time() {
        let list = InFlight::new(Handle::current(), 2);
        let record = Flight::Record(RecordId::from_i64(1).expect("id"));
        let never = list.join_or_start(record, std::future::pending).expect("it begins");
        assert!(matches!(wait(never, Instant::now()).await, Err(GrantError::Busy)));
        assert_eq!(list.finish(Duration::ZERO).await, 1);
    }
}
