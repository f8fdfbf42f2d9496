//! The issuer whose JWTs are accepted: its keys, fetched and kept (CONTRACT 28).
//!
//! Invariant: keys come only from the configured file or URL, over TLS unless it is on this machine, within
//! limits of time and size. The keys that were fetched last stay in force until newer ones arrive, and no
//! longer than `auth.bearer.stale_hours`. A fetch belongs to all callers that wait for it: none can end it.

use std::{
    fmt, fs, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use auth::{Claims, InvalidKeySet, JwtError, JwtVerifier, KeySet};
use jiff::{SignedDuration, Timestamp};
use model::SecretText;
use store::SingleFlight;
use tracing::{info, warn};
use ureq::{
    Agent,
    http::Uri,
    tls::{RootCerts, TlsConfig},
};

use super::error::CallerError;
use crate::config::auth as settings;

/// How long a key set may take to arrive.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// How large it may be.
const SIZE_LIMIT: u64 = 256 * 1024;
/// How often it is fetched at most, however many tokens name an unknown key.
const FETCH_INTERVAL: Duration = Duration::from_secs(1);
/// After how long it is fetched again in the background, so that a withdrawn key does not stay accepted.
const FRESH_FOR: Duration = Duration::from_secs(300);
/// After how long without a call the next call waits for that fetch.
const STALE_AFTER: Duration = Duration::from_secs(3600);
/// How many calls may wait for an unknown key.
const MAX_WAITING: usize = 256;

/// Where the keys are.
#[derive(Clone, Debug)]
enum Source {
    File(PathBuf),
    Url(Uri),
}

/// A trusted issuer and its keys.
pub(crate) struct Issuer {
    verifier: JwtVerifier,
    source: Source,
    agent: Agent,
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

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

impl Issuer {
    /// The issuer that the configuration names, if it names one.
    ///
    /// # Errors
    /// A part is missing, the URL would be read in the clear, or the file holds no keys.
    pub(crate) fn new(config: &settings::Bearer) -> anyhow::Result<Option<Self>> {
        let (jwks, issuer, audience) = match (&config.jwks, &config.issuer, &config.audience) {
            (None, None, None) => return Ok(None),
            (Some(jwks), Some(issuer), Some(audience)) => (jwks, issuer, audience),
            _ => bail!("auth.bearer needs jwks, issuer and audience, or none of them"),
        };
        if issuer.is_empty() || audience.is_empty() {
            bail!("auth.bearer.issuer and auth.bearer.audience must not be empty");
        }
        let source = source(jwks)?;
        let fetched = match &source {
            Source::File(path) => {
                let at = Timestamp::now();
                let read = read_file(path).and_then(|json| parse(&json));
                let read = read
                    .with_context(|| format!("auth.bearer.jwks: {} is no use", path.display()))?;
                Fetched { keys: Arc::new(read), at }
            }
            Source::Url(_) => Fetched { keys: Arc::default(), at: Timestamp::MIN },
        };
        Ok(Some(Self {
            verifier: JwtVerifier::new(issuer.clone(), audience.clone()),
            source,
            agent: agent(),
            fetched: RwLock::new(fetched),
            in_force_for: SignedDuration::from_hours(config.stale_hours.get().into()),
            fetches: SingleFlight::new(MAX_WAITING),
            stale_at: Mutex::new(Instant::now() + FRESH_FOR),
        }))
    }

    /// The claims of a JWT of the issuer. For an unknown key the call waits until the keys are fetched; stale keys
    /// are fetched without waiting.
    ///
    /// # Errors
    /// `AuthError::InvalidToken` for a token that is not to be trusted, `IssuerKeysUnavailable` if its key cannot
    /// be fetched.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        token: &SecretText,
    ) -> Result<Claims, CallerError> {
        let arrival = Instant::now();
        let mut outcome = self.check(token);
        if matches!(outcome, Err(JwtError::UnknownKey)) {
            self.fetch_after(arrival).await?;
            outcome = self.check(token);
        } else if let Some(late) = self.overdue(arrival) {
            if late > STALE_AFTER && self.fetch_after(arrival).await.is_ok() {
                outcome = self.check(token);
            } else {
                self.fetch_soon();
            }
        }
        outcome.map_err(|error| {
            info!(%error, "a JWT was refused");
            auth::AuthError::InvalidToken.into()
        })
    }

    fn check(&self, token: &SecretText) -> Result<Claims, JwtError> {
        let now = Timestamp::now();
        self.verifier.verify(token, &self.keys_in_force(now), now)
    }

    /// The keys that were fetched last; none if that is too long ago.
    fn keys_in_force(&self, now: Timestamp) -> Arc<KeySet> {
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
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            let _ = issuer.fetch_after(Instant::now()).await;
        });
    }

    /// Returns once a fetch that began after `arrival` brought keys; many callers share one, and its
    /// failure.
    async fn fetch_after(self: &Arc<Self>, arrival: Instant) -> Result<(), CallerError> {
        let issuer = Arc::clone(self);
        let fetch = move || async move { issuer.fetch().await };
        match self.fetches.since(arrival, FETCH_INTERVAL, fetch).await {
            Some(true) => Ok(()),
            Some(false) | None => Err(CallerError::IssuerKeysUnavailable),
        }
    }

    /// Fetches the keys, and returns whether that brought any. Otherwise the known keys stay.
    async fn fetch(&self) -> bool {
        let at = Timestamp::now();
        let (source, agent) = (self.source.clone(), self.agent.clone());
        let read = tokio::task::spawn_blocking(move || match &source {
            Source::File(path) => read_file(path).and_then(|json| current(&json)),
            Source::Url(url) => get(&agent, url).and_then(|json| current(&json)),
        });
        let read = read.await.unwrap_or_else(|panicked| Err(panicked.into()));
        *self.stale_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + FRESH_FOR;
        match read {
            Ok(keys) => {
                info!("read the keys of the issuer of bearer tokens");
                let fetched = Fetched { keys: Arc::new(keys), at };
                *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = fetched;
                true
            }
            Err(error) => {
                let source = &self.source;
                warn!(
                    %source,
                    error = format!("{error:#}"),
                    "auth.bearer.jwks: cannot read the issuer's keys"
                );
                false
            }
        }
    }
}

/// A file, or a URL whose answer cannot be tampered with on the way.
fn source(jwks: &str) -> anyhow::Result<Source> {
    let is_url =
        |scheme: &str| jwks.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    let is_plain = is_url("http://");
    if !is_plain && !is_url("https://") {
        return Ok(Source::File(jwks.into()));
    }
    let url: Uri = jwks.parse().context("auth.bearer.jwks is no URL")?;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if is_plain && !is_here {
        bail!("auth.bearer.jwks must be an https URL, for its keys decide who is let in");
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        bail!("auth.bearer.jwks must not hold a user name");
    }
    Ok(Source::Url(url))
}

fn agent() -> Agent {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIME_LIMIT))
        .max_redirects(0)
        .proxy(None)
        .user_agent("Latchkey")
        .build()
        .into()
}

fn get(agent: &Agent, url: &Uri) -> anyhow::Result<Vec<u8>> {
    let mut answer = agent.get(url).header("Accept", "application/json").call()?;
    if answer.status() != 200 {
        bail!("the answer is {}", answer.status());
    }
    Ok(answer.body_mut().with_config().limit(SIZE_LIMIT).read_to_vec()?)
}

fn read_file(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > SIZE_LIMIT {
        return Err(io::Error::other(format!("it is larger than {SIZE_LIMIT} bytes")).into());
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

fn parse(json: &[u8]) -> anyhow::Result<KeySet> {
    KeySet::parse(json).map_err(|error: InvalidKeySet| error.into())
}
