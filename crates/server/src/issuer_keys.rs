//! The keys of an issuer of JWTs, fetched and cached.
//!
//! Invariant: keys come only from the configured file or URL, within limits of time and size. The last fetched keys
//! stay in force until newer ones arrive, and no longer than `in_force_for`. All callers that wait for a fetch share
//! it, and none can cancel it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use auth::{InvalidKeySet, JwtError, KeySet};
use jiff::{SignedDuration, Timestamp};
use store::SingleFlight;
use tracing::{info, warn};

use crate::outgoing::{MOST_BYTES, Outgoing};

/// The time limit of a fetch.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// The minimum time between fetches, for any number of tokens with an unknown key.
const FETCH_INTERVAL: Duration = Duration::from_secs(1);
/// The age at which keys are fetched again in the background, so that a withdrawn key does not stay accepted.
const FRESH_FOR: Duration = Duration::from_secs(300);
/// The time without a call after which the next call waits for that fetch.
const STALE_AFTER: Duration = Duration::from_secs(3600);
/// The maximum number of calls that wait for an unknown key.
const MAX_WAITING: usize = 256;

/// The source of the keys.
#[derive(Clone)]
pub(crate) enum KeySource {
    File(PathBuf),
    Url(String, Arc<Outgoing>),
}

/// The keys of one issuer.
pub(crate) struct IssuerKeys {
    /// The setting that names the source, for the log.
    setting: String,
    source: KeySource,
    fetched: RwLock<Fetched>,
    /// The time for which keys stay in force without another fetch.
    in_force_for: SignedDuration,
    /// Fetches of the keys; true if a fetch brought any.
    fetches: SingleFlight<bool>,
    /// The time of the next fetch.
    stale_at: Mutex<Instant>,
}

/// The keys of the last fetch.
struct Fetched {
    keys: Arc<KeySet>,
    /// The start of that fetch, by the clock that tokens are judged by: it goes on while the machine sleeps.
    at: Timestamp,
}

/// The key that a token needs cannot be fetched.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the issuer's keys cannot be fetched")]
pub(crate) struct KeysUnavailable;

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url, _client) => f.write_str(url),
        }
    }
}

impl IssuerKeys {
    /// Prepares the keys of the source that `setting` names. Those of a URL are fetched later.
    ///
    /// # Errors
    /// A file holds no keys.
    pub(crate) fn new(
        setting: &str,
        source: KeySource,
        in_force_for: SignedDuration,
    ) -> anyhow::Result<Self> {
        let fetched = match &source {
            KeySource::File(path) => {
                let at = Timestamp::now();
                let read = read_file(path).and_then(|json| Ok(KeySet::parse(&json)?));
                let read =
                    read.with_context(|| format!("{setting}: {} is no use", path.display()))?;
                Fetched { keys: Arc::new(read), at }
            }
            KeySource::Url(..) => Fetched { keys: Arc::default(), at: Timestamp::MIN },
        };
        Ok(Self {
            setting: setting.to_owned(),
            source,
            fetched: RwLock::new(fetched),
            in_force_for,
            fetches: SingleFlight::new(MAX_WAITING),
            stale_at: Mutex::new(Instant::now() + FRESH_FOR),
        })
    }

    /// Calls `verify` with the keys in force. For an unknown key, the call waits until the keys are fetched; stale keys
    /// are fetched in the background.
    ///
    /// # Errors
    /// The key is unknown, and the keys cannot be fetched.
    pub(crate) async fn verify<T>(
        self: &Arc<Self>,
        verify: impl Fn(&KeySet, Timestamp) -> Result<T, JwtError>,
    ) -> Result<Result<T, JwtError>, KeysUnavailable> {
        let arrival = Instant::now();
        let check = || {
            let now = Timestamp::now();
            verify(&self.in_force(now), now)
        };
        let outcome = check();
        if matches!(outcome, Err(JwtError::UnknownKey)) {
            self.fetch_after(arrival).await?;
            return Ok(check());
        }
        if let Some(late) = self.overdue(arrival) {
            if late > STALE_AFTER && self.fetch_after(arrival).await.is_ok() {
                return Ok(check());
            }
            self.fetch_soon();
        }
        Ok(outcome)
    }

    /// Returns once there are keys in force, those of a fetch in the last hour if the source is reachable.
    ///
    /// # Errors
    /// There are no keys, and they cannot be fetched.
    pub(crate) async fn ready(self: &Arc<Self>) -> Result<(), KeysUnavailable> {
        let (arrival, now) = (Instant::now(), Timestamp::now());
        if now.duration_since(self.fetched_at()).unsigned_abs() < STALE_AFTER {
            return Ok(());
        }
        let fetched = self.fetch_after(arrival).await;
        let is_in_force = now.duration_since(self.fetched_at()) < self.in_force_for;
        if is_in_force { Ok(()) } else { fetched }
    }

    fn fetched_at(&self) -> Timestamp {
        self.fetched.read().unwrap_or_else(PoisonError::into_inner).at
    }

    /// Returns the keys of the last fetch; none if they are too old.
    fn in_force(&self, now: Timestamp) -> Arc<KeySet> {
        let fetched = self.fetched.read().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(fetched.at) < self.in_force_for {
            Arc::clone(&fetched.keys)
        } else {
            Arc::default()
        }
    }

    /// Returns how long the next fetch is overdue, if it is. Only one call gets it for each fetch.
    fn overdue(&self, now: Instant) -> Option<Duration> {
        let mut stale_at = self.stale_at.lock().unwrap_or_else(PoisonError::into_inner);
        let late = now.checked_duration_since(*stale_at)?;
        *stale_at = now + FRESH_FOR;
        Some(late)
    }

    /// Fetches the keys in the background; a failure is logged.
    pub(crate) fn fetch_soon(self: &Arc<Self>) {
        let keys = Arc::clone(self);
        tokio::spawn(async move {
            let _ = keys.fetch_after(Instant::now()).await;
        });
    }

    /// Returns once a fetch that began after `arrival` brought keys. Callers share a fetch and its failure.
    async fn fetch_after(self: &Arc<Self>, arrival: Instant) -> Result<(), KeysUnavailable> {
        let keys = Arc::clone(self);
        let fetch = move || async move { keys.fetch().await };
        match self.fetches.since(arrival, FETCH_INTERVAL, fetch).await {
            Some(true) => Ok(()),
            Some(false) | None => Err(KeysUnavailable),
        }
    }

    /// Fetches the keys, and returns whether there were any. Otherwise the known keys stay.
    async fn fetch(&self) -> bool {
        let at = Timestamp::now();
        let source = self.source.clone();
        let read = tokio::task::spawn_blocking(move || match &source {
            KeySource::File(path) => read_file(path).and_then(|json| current(&json)),
            KeySource::Url(url, outgoing) => get(outgoing, url).and_then(|json| current(&json)),
        });
        let read = read.await.unwrap_or_else(|panicked| Err(panicked.into()));
        *self.stale_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + FRESH_FOR;
        let (setting, source) = (&self.setting, &self.source);
        match read {
            Ok(keys) => {
                info!(setting, "read the issuer's keys");
                let fetched = Fetched { keys: Arc::new(keys), at };
                *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = fetched;
                true
            }
            Err(error) => {
                warn!(
                    %source,
                    error = format!("{error:#}"),
                    "{setting}: cannot read the issuer's keys"
                );
                false
            }
        }
    }
}

fn get(outgoing: &Outgoing, url: &str) -> anyhow::Result<Vec<u8>> {
    let answer = outgoing.get(url, TIME_LIMIT)?;
    if answer.status != 200 {
        bail!("the answer is {}", answer.status);
    }
    Ok(answer.body.to_vec())
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > MOST_BYTES as u64 {
        return Err(io::Error::other(format!("it is larger than {MOST_BYTES} bytes")).into());
    }
    Ok(fs::read(path)?)
}

/// Parses a fetched key set. It may be empty, because the issuer may have withdrawn all keys.
fn current(json: &[u8]) -> anyhow::Result<KeySet> {
    match KeySet::parse(json) {
        Err(InvalidKeySet::NoKeys) => Ok(KeySet::default()),
        parsed => Ok(parsed?),
    }
}
