//! The keys of an issuer of JWTs, fetched and kept.
//!
//! Invariant: keys come only from the configured file or URL, within limits of time and size. The keys that were
//! fetched last stay in force until newer ones arrive, and no longer than their bound. A fetch belongs to all callers
//! that wait for it: none can end it.

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

/// How long a key set may take to arrive.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// How often it is fetched at most, however many tokens name an unknown key.
const FETCH_INTERVAL: Duration = Duration::from_secs(1);
/// After how long it is fetched again in the background, so that a withdrawn key does not stay accepted.
const FRESH_FOR: Duration = Duration::from_secs(300);
/// After how long without a call the next call waits for that fetch.
const STALE_AFTER: Duration = Duration::from_secs(3600);
/// How many calls may wait for an unknown key.
const MAX_WAITING: usize = 256;

/// Where the keys are.
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
    /// How long keys stay in force without being fetched again.
    in_force_for: SignedDuration,
    /// Whether each fetch brought keys.
    fetches: SingleFlight<bool>,
    /// When the keys are to be fetched again.
    stale_at: Mutex<Instant>,
}

/// The keys that were fetched last.
struct Fetched {
    keys: Arc<KeySet>,
    /// When that fetch began, by the clock that tokens are judged by: it goes on while the machine sleeps.
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
    /// The keys of a source that the setting names. Those of a URL are yet to be fetched.
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

    /// What `verify` says with the keys in force. For an unknown key the call waits until the keys are fetched; stale
    /// keys are fetched without waiting.
    ///
    /// # Errors
    /// The key is unknown and the keys cannot be fetched.
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

    /// Returns once there are keys in force, those of a fetch of the last hour if one can be had.
    ///
    /// # Errors
    /// There are none, and they cannot be fetched.
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

    /// The keys that were fetched last; none if that is too long ago.
    fn in_force(&self, now: Timestamp) -> Arc<KeySet> {
        let fetched = self.fetched.read().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(fetched.at) < self.in_force_for {
            Arc::clone(&fetched.keys)
        } else {
            Arc::default()
        }
    }

    /// How long the next fetch is overdue, if it is. Only one call gets it for each fetch.
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

    /// Returns once a fetch that began after `arrival` brought keys; many callers share one, and its
    /// failure.
    async fn fetch_after(self: &Arc<Self>, arrival: Instant) -> Result<(), KeysUnavailable> {
        let keys = Arc::clone(self);
        let fetch = move || async move { keys.fetch().await };
        match self.fetches.since(arrival, FETCH_INTERVAL, fetch).await {
            Some(true) => Ok(()),
            Some(false) | None => Err(KeysUnavailable),
        }
    }

    /// Fetches the keys, and returns whether that brought any. Otherwise the known keys stay.
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

/// The keys of an issuer that is known; it may have withdrawn them all.
fn current(json: &[u8]) -> anyhow::Result<KeySet> {
    match KeySet::parse(json) {
        Err(InvalidKeySet::NoKeys) => Ok(KeySet::default()),
        parsed => Ok(parsed?),
    }
}
