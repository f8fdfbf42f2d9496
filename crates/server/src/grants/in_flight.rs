//! The tasks of this process that send requests to providers, or that may change the tokens of a record.
//!
//! Invariant: at most one task runs for a record or a code. No caller can cancel it, and every waiting caller gets its
//! result.

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

/// How often a stopping server checks whether the tasks have ended.
const LOOK: Duration = Duration::from_millis(20);

/// The subject of a task. At most one task runs for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flight {
    /// A task that sends or replaces the tokens of a record: a refresh, a revocation, another key.
    Record(RecordId),
    /// The introspection of a record's access token.
    Introspection(RecordId),
    /// The exchange of a code, by its digest.
    Exchange([u8; 32]),
}

/// The result of a task. After `Ok`, read the record again.
pub(super) type End = Result<(), GrantError>;

/// Receives the result of a task.
pub(super) type Ending = watch::Receiver<Option<End>>;

/// The tasks. Cheap to clone; all clones share one list.
#[derive(Clone)]
pub(super) struct InFlight {
    /// Tasks run on this runtime, not on the thread that answers the call, because that thread stops before they end.
    runtime: Handle,
    /// The maximum number of tasks, including those that wait for their turn.
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

    /// Joins the task under way for `flight`, or else starts this one.
    ///
    /// # Errors
    /// `Busy`: the server is stopping, or the maximum number of tasks is reached.
    pub(super) fn join_or_start<F: Future<Output = End> + Send + 'static>(
        &self,
        flight: Flight,
        task: impl FnOnce() -> F,
    ) -> Result<Ending, GrantError> {
        let mut state = self.state();
        if state.is_stopping {
            return Err(GrantError::Busy);
        }
        // The sender of a task that panicked is gone.
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

    /// Runs this task after those under way for `flight` have ended, and returns its result. Once it has begun, it goes
    /// on when the caller goes away.
    ///
    /// # Errors
    /// Those of `join_or_start`. `Busy`: earlier tasks do not end in time, or this one panics. Unless it panicked, it
    /// did not run.
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
                    // The caller may have gone away.
                    let _ = sender.send(task.await);
                    Ok(())
                }
            })?;
            if is_ours {
                return outcome.await.map_err(|_panicked| GrantError::Busy);
            }
            // A task that panicked has ended, too.
            let ended = time::timeout_at(until.into(), ending.wait_for(Option::is_some));
            if ended.await.is_err() {
                return Err(GrantError::Busy);
            }
        }
    }

    /// Returns whether the server is stopping: then no request begins any more.
    pub(super) fn is_stopping(&self) -> bool {
        self.state().is_stopping
    }

    /// Returns whether this task is under way.
    pub(super) fn has(&self, flight: Flight) -> bool {
        let state = self.state();
        state.tasks.get(&flight).is_some_and(|ending| ending.has_changed().is_ok())
    }

    /// Rejects new tasks, waits for those under way for at most this long, and returns the number of tasks that have
    /// not ended.
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

/// Waits for the result of a task until a time.
///
/// # Errors
/// `Busy`: there is no result in time. Otherwise the error of the task.
pub(super) async fn wait(mut ending: Ending, until: Instant) -> End {
    match time::timeout_at(until.into(), ending.wait_for(Option::is_some)).await {
        Ok(Ok(end)) => end.clone().unwrap_or(Err(GrantError::Busy)),
        // The task panicked, or the time has passed.
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

    /// A task of `run_alone` waits for the task under way, and no caller cancels it.
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
