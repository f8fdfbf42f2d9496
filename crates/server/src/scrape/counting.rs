//! The counts of the database, which scrapes share.
//!
//! Invariant: any number of scrapes shares one count. Between two counts there is at least the configured time, and at
//! least `REST` times the time that the last count took.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use store::{Counts, SingleFlight, Store, StoreError};
use tokio::time;

use crate::grants::providers::Providers;

/// The time between two counts, as a multiple of the time that a count takes.
const REST: u32 = 20;
/// How long a scrape waits for a count before it answers with the one before.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most scrapes that may wait for a count.
const WAITING: usize = 64;

/// Counts the database when its last count is too old.
pub(crate) struct Counting {
    store: Store,
    providers: Arc<Providers>,
    every: Duration,
    flight: SingleFlight<Option<Arc<Counted>>>,
    last: Arc<RwLock<Option<Arc<Counted>>>>,
}

/// A count of the database.
pub(super) struct Counted {
    pub(super) counts: Counts,
    /// By the name of the provider: whether no request is sent to it at the moment.
    pub(super) are_paused: BTreeMap<String, bool>,
    pub(super) are_all_paused: bool,
    /// The time at which the count was complete.
    pub(super) at: Timestamp,
    pub(super) took: Duration,
}

impl Counting {
    /// `every` is the minimum time between two counts.
    pub(crate) fn new(store: Store, providers: Arc<Providers>, every: Duration) -> Self {
        let (flight, last) = (SingleFlight::new(WAITING), Arc::default());
        Self { store, providers, every, flight, last }
    }

    /// Returns the last count, after a new one if that is due. `None` if the last try failed.
    pub(super) async fn current(&self) -> Option<Arc<Counted>> {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner).clone();
        let took = last.as_ref().map_or(Duration::ZERO, |last| last.took);
        let every = self.every.max(took.saturating_mul(REST));
        let now = Instant::now();
        let seen = now.checked_sub(every).unwrap_or(now);
        let (store, providers, kept) =
            (self.store.clone(), Arc::clone(&self.providers), Arc::clone(&self.last));
        let run = self.flight.since(seen, Duration::ZERO, move || async move {
            let counted = count(&store, &providers).await.ok().map(Arc::new);
            kept.write().unwrap_or_else(PoisonError::into_inner).clone_from(&counted);
            counted
        });
        match time::timeout(PATIENCE, run).await {
            Ok(counted) => counted.flatten(),
            Err(_late) => last,
        }
    }

    /// Returns the configured providers by name, with the digests of their clients.
    pub(super) fn clients(&self) -> impl Iterator<Item = (&str, &[u8; 32])> {
        self.providers.all().map(|provider| (provider.name.as_str(), &provider.client_digest))
    }
}

async fn count(store: &Store, providers: &Providers) -> Result<Counted, StoreError> {
    let begun = Instant::now();
    let counts = store.counts().await?;
    let digests = providers.all().map(|provider| provider.client_digest).collect();
    let (pauses, are_all_paused) = store.provider_pauses(digests).await?;
    let mut are_paused = BTreeMap::new();
    for (provider, pause) in providers.all().zip(pauses) {
        *are_paused.entry(provider.name.clone()).or_default() |= pause.is_some();
    }
    let (at, took) = (Timestamp::now(), begun.elapsed());
    Ok(Counted { counts, are_paused, are_all_paused, at, took })
}
