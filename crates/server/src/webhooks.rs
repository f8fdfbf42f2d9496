//! Webhooks: events about grants and providers, sent to the receivers that the configuration names.
//!
//! Invariant: an event leaves the database only when its receiver confirmed it or it is too old, so that a receiver gets
//! each at least once. A receiver that fails is left alone for a while, and holds up no other.

mod event;
mod health;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use auth::WebhookSecret;
use jiff::Timestamp;
use store::{Delivery, Store, StoreError, random};
use tokio::task::JoinSet;
use tracing::{error, info, warn};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, header};

use self::health::{Health, Pause};
use crate::{
    config::{Config, webhooks::ReceiverSettings},
    outgoing::{Outgoing, OutgoingRules, Received},
};

const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";
/// For how long a server has events for itself, beyond the deadline of a delivery.
const LEASE: Duration = Duration::from_secs(20);
/// The pause before an event is sent once more: at first, and at most.
const EVENT_PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15 * 60));
/// How often the events that wait are counted.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// The receivers that are configured.
pub(crate) struct Receivers(Vec<Arc<Receiver>>);

/// Somebody who is sent events.
pub(crate) struct Receiver {
    name: String,
    /// What errors call it.
    place: String,
    url: String,
    outgoing: Outgoing,
    secrets: RwLock<Vec<WebhookSecret>>,
    /// The `source` of its events.
    source: String,
    /// What the only tenant is called, where there is one.
    only_tenant: Option<String>,
    deadline: Duration,
    concurrent: usize,
    health: Mutex<Health>,
    counted: Mutex<Option<Instant>>,
}

impl Receivers {
    /// The receivers of the configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// A file of certificates cannot be used; the message names the receiver.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let receiver = |(place, settings): (String, &ReceiverSettings)| {
            Receiver::new(config, &place, settings).map(Arc::new).context(place)
        };
        config.webhooks.named().map(receiver).collect::<Result<_, _>>().map(Self)
    }

    /// Every receiver.
    pub(crate) fn all(&self) -> &[Arc<Receiver>] {
        &self.0
    }

    /// Takes the secrets of a configuration that was read again, and nothing else of it, and lets a receiver that wanted
    /// no more be sent events again.
    ///
    /// # Errors
    /// Names the receivers that are not in it any more as they were; their secrets stay.
    pub(crate) fn reload_secrets(&self, config: &Config) -> anyhow::Result<()> {
        let mut lost = Vec::new();
        for receiver in &self.0 {
            receiver.health().come_back();
            let is_same =
                |new: &&ReceiverSettings| new.name == receiver.name && new.url == receiver.url;
            let found = config.webhooks.named().map(|(_place, new)| new).find(is_same);
            match found.map(ReceiverSettings::secrets) {
                Some(Ok(secrets)) => {
                    *receiver.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
                }
                _ => lost.push(receiver.place.as_str()),
            }
        }
        if !lost.is_empty() {
            bail!(
                "changed in more than a secret, which counts after a restart: {}",
                lost.join(", ")
            );
        }
        Ok(())
    }
}

impl Receiver {
    fn new(config: &Config, place: &str, settings: &ReceiverSettings) -> anyhow::Result<Self> {
        let outgoing = Outgoing::new(&OutgoingRules {
            ca: settings.ca.as_deref(),
            client_certificate: None,
            allow_private_addresses: settings.allow_private_addresses,
            allow_plain_loopback: config.is_development(),
            egress_proxy: config.grants.egress_proxy.as_deref(),
        })?;
        Ok(Self {
            name: settings.name.clone(),
            place: place.to_owned(),
            url: settings.url.clone(),
            outgoing,
            secrets: RwLock::new(settings.secrets()?),
            source: config.webhooks.source.clone(),
            only_tenant: config.only_tenant()?.map(|tenant| tenant.name().to_owned()),
            deadline: Duration::from_secs(config.webhooks.deadline_seconds.into()),
            concurrent: config.webhooks.concurrent as usize,
            health: Mutex::default(),
            counted: Mutex::default(),
        })
    }

    /// Sends the events that are due, until none is or the receiver fails.
    pub(crate) async fn send_due(self: &Arc<Self>, store: &Store) -> Result<(), StoreError> {
        self.count(store).await?;
        let lease = (self.deadline + LEASE).as_micros() as i64;
        loop {
            let Some(limit) = self.health().limit(Instant::now(), self.concurrent) else {
                return Ok(());
            };
            let due = store.claim_deliveries(&self.name, limit, lease).await?;
            if due.is_empty() {
                return Ok(());
            }
            let (confirmed, failed) = self.send_all(due).await;
            let has_failed = !failed.is_empty();
            self.note(confirmed.len(), failed.last().map(|(_delivery, failure)| failure));
            let failed = failed.into_iter().map(|(delivery, _failure)| {
                let pause = with_jitter(event_pause(delivery.attempts()));
                (delivery, pause.as_micros() as i64)
            });
            store.finish_deliveries(confirmed, failed.collect()).await?;
            if has_failed {
                return Ok(());
            }
        }
    }

    /// Sends each of the events: those that were confirmed, and those that were not.
    async fn send_all(
        self: &Arc<Self>,
        due: Vec<Delivery>,
    ) -> (Vec<Delivery>, Vec<(Delivery, Failure)>) {
        let mut sending = JoinSet::new();
        for delivery in due {
            let receiver = Arc::clone(self);
            sending.spawn_blocking(move || {
                let sent = receiver.send(&delivery);
                (delivery, sent)
            });
        }
        let (mut confirmed, mut failed) = (Vec::new(), Vec::new());
        while let Some(sent) = sending.join_next().await {
            match sent.expect("sending an event does not panic") {
                (delivery, Ok(())) => confirmed.push(delivery),
                (delivery, Err(failure)) => failed.push((delivery, failure)),
            }
        }
        (confirmed, failed)
    }

    /// Sends one event. Blocks.
    fn send(&self, delivery: &Delivery) -> Result<(), Failure> {
        let body = event::cloud_event(delivery, &self.source, self.only_tenant.as_deref());
        let time = Timestamp::now().as_second();
        let headers = self.headers(delivery.event(), time, &body);
        match self.outgoing.post_signed(&self.url, headers, &body, self.deadline) {
            Ok(Received { status: 200..=299, .. }) => Ok(()),
            Ok(received) => Err(Failure::of_status(&received, time)),
            Err(error) => Err(Failure { why: error.to_string(), pause: Pause::Usual }),
        }
    }

    /// The headers of Standard Webhooks. While a secret is replaced, there is a signature by each.
    fn headers(&self, id: &str, time: i64, body: &[u8]) -> HeaderMap {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let signatures: Vec<String> =
            secrets.iter().map(|secret| secret.sign(id, time, body)).collect();
        let headers = [
            (header::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
            (HeaderName::from_static("webhook-id"), id.to_owned()),
            (HeaderName::from_static("webhook-timestamp"), time.to_string()),
            (HeaderName::from_static("webhook-signature"), signatures.join(" ")),
        ];
        let value = |text: String| HeaderValue::from_str(&text).expect("digits and base64");
        headers.into_iter().map(|(name, text)| (name, value(text))).collect()
    }

    /// Logs a failure when it begins and when it ends.
    fn note(&self, confirmed: usize, failure: Option<&Failure>) {
        let receiver = &self.name;
        let mut health = self.health();
        let Some(Failure { why, pause }) = failure else {
            if let Some(failures) = health.succeeded() {
                info!(receiver, failures, "the receiver of webhooks takes events again");
            }
            return;
        };
        let has_begun = health.failed(Instant::now(), *pause, confirmed > 0);
        if *pause == Pause::UntilReload {
            error!(
                receiver,
                "the receiver of webhooks answered 410 Gone: events wait until the server is restarted or gets \
                 SIGHUP"
            );
        } else if has_begun {
            warn!(receiver, why, "events wait, because the receiver of webhooks fails");
        }
    }

    /// Counts the events that wait, now and then, which bounds them.
    async fn count(&self, store: &Store) -> Result<(), StoreError> {
        let is_fresh = |counted: Instant| counted.elapsed() < COUNT_EVERY;
        if self.counted.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(is_fresh) {
            return Ok(());
        }
        store.count_deliveries(&self.name).await?;
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an event was not confirmed, and for how long nothing is sent.
struct Failure {
    /// For the log.
    why: String,
    pause: Pause,
}

impl Failure {
    fn of_status(received: &Received, now: i64) -> Self {
        let Received { status, retry_after, .. } = received;
        let wanted = retry_after.as_deref().and_then(|value| provider::retry_after(value, now));
        let pause = match (status, wanted) {
            (410, _) => Pause::UntilReload,
            (429 | 503, Some(seconds)) => Pause::Of(Duration::from_secs(seconds.into())),
            _ => Pause::Usual,
        };
        let why = match status {
            300..=399 => format!("it answered {status}, a redirect, which is not followed"),
            _ => format!("it answered {status}"),
        };
        Self { why, pause }
    }
}

/// How long an event waits after so many attempts before this one.
fn event_pause(attempts: u32) -> Duration {
    let (first, most) = EVENT_PAUSES;
    first.saturating_mul(1 << attempts.min(16)).min(most)
}

/// Up to a fifth more, so that not all servers come at once.
fn with_jitter(pause: Duration) -> Duration {
    let [part] = *random::<1>();
    pause + pause * u32::from(part) / (5 * 256)
}
