//! Discovery: the endpoints of an issuer, by its own document.
//!
//! Invariant: a document counts only if it names the configured issuer. The one that was read last is served until a
//! newer one is there; callers that wait for one share a fetch, and none can end it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use model::CauseKind;
use provider::{Metadata, metadata_urls};
use store::SingleFlight;
use tracing::{info, warn};

use crate::outgoing::{Outgoing, SendError};

/// How long a document may take to arrive.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// After how long it is fetched again.
const FRESH_FOR: Duration = Duration::from_secs(3600);
/// How long after a failure the old document is served without another try.
const PAUSE: Duration = Duration::from_secs(60);
/// How often it is fetched at most while there is none.
const FETCH_INTERVAL: Duration = Duration::from_secs(1);
/// How many calls may wait for it.
const MAX_WAITING: usize = 1024;

/// The metadata of one issuer.
pub(super) struct Discovery {
    issuer: String,
    /// The provider as the log names it.
    place: String,
    outgoing: Arc<Outgoing>,
    known: Arc<Mutex<Option<Known>>>,
    fetches: SingleFlight<Result<Arc<Metadata>, SendError>>,
}

struct Known {
    metadata: Arc<Metadata>,
    next_fetch: Instant,
}

impl Discovery {
    pub(super) fn new(issuer: &str, place: &str, outgoing: &Arc<Outgoing>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            place: place.to_owned(),
            outgoing: Arc::clone(outgoing),
            known: Arc::default(),
            fetches: SingleFlight::new(MAX_WAITING),
        }
    }

    /// The issuer's metadata, at most an hour old if a newer one can be had.
    ///
    /// # Errors
    /// There is none, and it cannot be fetched.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, SendError> {
        let arrival = Instant::now();
        let fresh = self.known().filter(|known| arrival < known.next_fetch);
        if let Some(known) = fresh {
            return Ok(known.metadata);
        }
        let (issuer, place) = (self.issuer.clone(), self.place.clone());
        let (outgoing, known) = (Arc::clone(&self.outgoing), Arc::clone(&self.known));
        let fetch = move || async move {
            let fetched = tokio::task::spawn_blocking(move || fetch(&outgoing, &issuer)).await;
            let fetched = fetched
                .unwrap_or_else(|panicked| Err(SendError::unsent(CauseKind::Network, panicked)));
            keep(&known, &place, fetched)
        };
        let fetched = self.fetches.since(arrival, FETCH_INTERVAL, fetch).await;
        fetched.unwrap_or_else(|| {
            let stale = self.known().map(|known| known.metadata);
            stale.ok_or_else(|| SendError::unsent(CauseKind::Network, "too many calls wait"))
        })
    }

    fn known(&self) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|known| Known { metadata: Arc::clone(&known.metadata), ..*known })
    }
}

/// Keeps what was fetched, or else what is known; returns what is to be served.
fn keep(
    known: &Mutex<Option<Known>>,
    place: &str,
    fetched: Result<Metadata, SendError>,
) -> Result<Arc<Metadata>, SendError> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    match (fetched, known.as_mut()) {
        (Ok(metadata), _) => {
            info!("{place}: read the issuer's metadata");
            let metadata = Arc::new(metadata);
            *known = Some(Known { metadata: Arc::clone(&metadata), next_fetch: now + FRESH_FOR });
            Ok(metadata)
        }
        (Err(error), Some(known)) => {
            warn!(%error, "{place}: cannot read the issuer's metadata; what was read before counts");
            known.next_fetch = now + PAUSE;
            Ok(Arc::clone(&known.metadata))
        }
        (Err(error), None) => {
            warn!(%error, "{place}: cannot read the issuer's metadata");
            Err(error)
        }
    }
}

/// Fetches the metadata: by OpenID Connect Discovery, and if there is none by RFC 8414. Blocks.
///
/// # Errors
/// It cannot be fetched or is not of that issuer. In either case no token was sent.
pub(super) fn fetch(outgoing: &Outgoing, issuer: &str) -> Result<Metadata, SendError> {
    let mut refusal = None;
    for url in metadata_urls(issuer) {
        let answer = outgoing
            .get(&url, TIME_LIMIT)
            .map_err(|error| SendError::unsent(error.cause, format_args!("{url}: {error}")))?;
        if answer.status != 200 {
            let why = format_args!("{url}: the answer is {}", answer.status).to_string();
            refusal.get_or_insert(SendError::unsent(CauseKind::OtherStatus, why));
            continue;
        }
        match Metadata::parse(&answer.body, issuer) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => {
                let why = format_args!("{url}: {error}").to_string();
                refusal = Some(SendError::unsent(CauseKind::Unreadable, why));
            }
        }
    }
    let none = || SendError::unsent(CauseKind::Unreadable, "there is no metadata");
    Err(refusal.unwrap_or_else(none))
}
