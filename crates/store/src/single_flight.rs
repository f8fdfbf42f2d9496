//! Work that many callers share, such as loading keys.
//!
//! Invariant: at most one run is in progress. No caller can cancel a run: each runs in a task of its own, and every
//! waiting caller gets its outcome.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, watch},
    time,
};

/// Runs one kind of work for many callers. Cheap to clone; all clones share their runs.
#[derive(Clone)]
pub struct SingleFlight<T>(Arc<Shared<T>>);

struct Shared<T> {
    /// One permit for each caller that may wait.
    places: Semaphore,
    runs: Mutex<Runs<T>>,
    /// Held by the current run.
    turn: tokio::sync::Mutex<()>,
}

type Outcome<T> = watch::Receiver<Option<T>>;

struct Runs<T> {
    /// The last run that began, and its start.
    latest: Option<(Instant, Outcome<T>)>,
    /// The run that has not begun yet.
    next: Option<Outcome<T>>,
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// Creates a flight without a run. At most `most_waiting` callers wait at a time.
    pub fn new(most_waiting: usize) -> Self {
        let runs = Mutex::new(Runs { latest: None, next: None });
        let places = Semaphore::new(most_waiting);
        Self(Arc::new(Shared { places, runs, turn: tokio::sync::Mutex::default() }))
    }

    /// Returns the outcome of a run that began after `seen`. If there is none, `work` becomes the next run, which
    /// begins at least `pause` after the start of the previous run. Returns `None` if too many callers wait already, or
    /// if the run panicked.
    pub async fn since<F>(
        &self,
        seen: Instant,
        pause: Duration,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let _place = self.0.places.try_acquire().ok()?;
        let mut outcome = self.join(seen, pause, work);
        let outcome = outcome.wait_for(Option::is_some).await.ok()?;
        outcome.clone()
    }

    fn join<F>(
        &self,
        seen: Instant,
        pause: Duration,
        work: impl FnOnce() -> F + Send + 'static,
    ) -> Outcome<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut runs = self.0.runs();
        if let Some((began, outcome)) = &runs.latest
            && *began > seen
        {
            return outcome.clone();
        }
        // The task of a run may have been dropped with its runtime before the run began.
        if let Some(next) = runs.next.as_ref().filter(|next| next.has_changed().is_ok()) {
            return next.clone();
        }
        let (sender, outcome) = watch::channel(None);
        runs.next = Some(outcome.clone());
        tokio::spawn(Arc::clone(&self.0).run(pause, work, sender));
        outcome
    }
}

impl<T> Shared<T> {
    async fn run<F: Future<Output = T>>(
        self: Arc<Self>,
        pause: Duration,
        work: impl FnOnce() -> F,
        sender: watch::Sender<Option<T>>,
    ) {
        let _turn = self.turn.lock().await;
        let latest = self.runs().latest.as_ref().map(|(began, _outcome)| *began);
        if let Some(began) = latest {
            time::sleep_until((began + pause).into()).await;
        }
        {
            let mut runs = self.runs();
            *runs = Runs { latest: Some((Instant::now(), sender.subscribe())), next: None };
        }
        let outcome = work().await;
        sender.send_replace(Some(outcome));
    }

    fn runs(&self) -> MutexGuard<'_, Runs<T>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{sync::Notify, task::yield_now};

    /// Work that waits for `go`, and counts its runs.
    #[derive(Clone, Default)]
    struct Counted {
        runs: Arc<AtomicUsize>,
        go: Arc<Notify>,
    }

    impl Counted {
        async fn run(self) -> usize {
            let number = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
            self.go.notified().await;
            number
        }
    }

    /// Spawns a caller that arrives now.
    fn caller(
        flight: &SingleFlight<usize>,
        work: &Counted,
    ) -> tokio::task::JoinHandle<Option<usize>> {
        let (flight, work, seen) = (flight.clone(), work.clone(), Instant::now());
        tokio::spawn(async move { flight.since(seen, Duration::ZERO, move || work.run()).await })
    }

    async fn settle() {
        for _ in 0..100 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_caller_that_leaves_ends_nothing() {
        let (flight, work) = (SingleFlight::new(10), Counted::default());
        let first = caller(&flight, &work);
        let others: Vec<_> = (0..5).map(|_| caller(&flight, &work)).collect();
        settle().await;
        first.abort();
        assert!(first.await.is_err_and(|error| error.is_cancelled()));
        work.go.notify_one();
        for other in others {
            assert_eq!(other.await.expect("a caller"), Some(1));
        }
        assert_eq!(work.runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn callers_that_arrive_during_a_run_share_the_next_one() {
        let (flight, work) = (SingleFlight::new(10), Counted::default());
        let before = Instant::now();
        let first = caller(&flight, &work);
        settle().await;
        let later = [caller(&flight, &work), caller(&flight, &work)];
        settle().await;
        assert_eq!(work.runs.load(Ordering::SeqCst), 1, "one at a time");
        work.go.notify_one();
        assert_eq!(first.await.expect("a caller"), Some(1));
        settle().await;
        work.go.notify_one();
        for caller in later {
            assert_eq!(caller.await.expect("a caller"), Some(2));
        }
        let again = flight.since(before, Duration::ZERO, || async { 9 }).await;
        assert_eq!(again, Some(2), "it began after that");
    }

    #[tokio::test]
    async fn runs_keep_their_pause_and_waiters_their_number() {
        let flight = SingleFlight::new(1);
        let (pause, began) = (Duration::from_millis(30), Instant::now());
        for number in 0..3 {
            let outcome = flight.since(Instant::now(), pause, move || async move { number }).await;
            assert_eq!(outcome, Some(number));
        }
        assert!(began.elapsed() >= 2 * pause);
        let work = Counted::default();
        let flight = SingleFlight::new(1);
        let waiting = caller(&flight, &work);
        settle().await;
        assert_eq!(caller(&flight, &work).await.expect("a caller"), None, "no place is left");
        work.go.notify_one();
        assert_eq!(waiting.await.expect("a caller"), Some(1));
    }

    #[tokio::test]
    async fn a_run_that_panics_fails_its_callers_alone() {
        let flight: SingleFlight<usize> = SingleFlight::new(10);
        let panics = || async { panic!("on purpose") };
        assert_eq!(flight.since(Instant::now(), Duration::ZERO, panics).await, None);
        let next = flight.since(Instant::now(), Duration::ZERO, || async { 1 }).await;
        assert_eq!(next, Some(1));
    }
}
