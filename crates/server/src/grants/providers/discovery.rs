//! Discovery: the endpoints of an issuer, from its metadata document.
//!
//! Invariant: a document counts only if it names the configured issuer. The last valid document is served until a newer
//! one arrives. Callers that wait for one share a fetch, and none can cancel it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use model::CauseKind;
use provider::{Metadata, metadata_urls};
use store::SingleFlight;
use tracing::{info, warn};

use crate::outgoing::{Outgoing, SendError};

/// The time limit of a fetch.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// The age at which a document is fetched again.
const FRESH_FOR: Duration = Duration::from_secs(3600);
/// The time after a failure in which the old document is served without another fetch.
const PAUSE: Duration = Duration::from_secs(60);
/// The minimum time between fetches while there is no document.
const FETCH_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of calls that wait for a document.
const MAX_WAITING: usize = 1024;

/// The metadata of one issuer.
pub(super) struct Discovery {
    issuer: String,
    /// The name of the provider in the log.
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

    /// Returns the issuer's metadata, at most an hour old if the issuer is reachable.
    ///
    /// # Errors
    /// There is no metadata, and fetching it fails.
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

/// Keeps the fetched document, or else the known one, and returns the document to serve.
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
            warn!(%error, "{place}: cannot read the issuer's metadata; the old metadata stays in force");
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
/// The metadata cannot be fetched, or is of another issuer. In either case no token was sent.
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
