//! Webhooks: events about grants and providers, sent to the receivers that the configuration names.
//!
//! Invariant: an event leaves the database only after its receiver confirmed it or it is too old, so that a receiver
//! gets each event at least once. A failing receiver is paused, and delays no other.

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
use tokio::{
    sync::Semaphore,
    task::{self, JoinSet},
    time,
};
use tracing::{error, info, warn};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, header};

use self::health::{Health, Pause};
use crate::{
    config::{Config, webhooks::ReceiverSettings},
    outgoing::{Outgoing, OutgoingRules},
};

const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";
/// The time for which a server leases events, in addition to the deadline of a delivery.
const LEASE: Duration = Duration::from_secs(20);
/// The pause before an event is sent again: the first, and the longest.
const EVENT_PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15 * 60));
/// The pause before the outcome of events is written again.
const FINISH_PAUSE: Duration = Duration::from_secs(1);
/// The maximum number of events under way to all receivers, because refreshes need threads, too.
const MOST_SENDING: usize = 64;

/// The configured receivers.
pub(crate) struct Receivers(Vec<Arc<Receiver>>);

/// A receiver of events.
pub(crate) struct Receiver {
    /// The name of the receiver in errors.
    place: String,
    /// Without the secrets.
    settings: ReceiverSettings,
    /// Permits for requests to any receiver.
    sending: Arc<Semaphore>,
    outgoing: Outgoing,
    secrets: RwLock<Vec<WebhookSecret>>,
    /// The `source` of its events.
    source: String,
    /// The name of the only tenant, if there is only one.
    only_tenant: Option<String>,
    deadline: Duration,
    concurrent: usize,
    health: Mutex<Health>,
}

impl Receivers {
    /// Builds the receivers of the configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// A certificate file is invalid; the message names the receiver.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let sending = Arc::new(Semaphore::new(MOST_SENDING));
        let receiver = |(place, settings): (String, &ReceiverSettings)| {
            let receiver = Receiver::new(config, &place, settings, Arc::clone(&sending));
            receiver.map(Arc::new).context(place)
        };
        config.webhooks.named().map(receiver).collect::<Result<_, _>>().map(Self)
    }

    /// Returns every receiver.
    pub(crate) fn all(&self) -> &[Arc<Receiver>] {
        &self.0
    }

    /// Takes the secrets of a configuration that was read again, and nothing else of it, and resumes a receiver that
    /// wanted no more events.
    ///
    /// # Errors
    /// Names the receivers that are new, missing or changed in it; known ones keep their secrets.
    pub(crate) fn reload_secrets(&self, config: &Config) -> anyhow::Result<()> {
        let mut new: Vec<(String, &ReceiverSettings)> = config.webhooks.named().collect();
        let mut changed = Vec::new();
        for receiver in &self.0 {
            receiver.health().come_back();
            let same =
                new.iter().position(|(_place, new)| receiver.settings.is_but_for_secrets(new));
            let Some(same) = same else {
                changed.push(receiver.place.clone());
                continue;
            };
            let secrets = new.swap_remove(same).1.secrets()?;
            *receiver.secrets.write().unwrap_or_else(PoisonError::into_inner) = secrets;
        }
        changed.extend(new.into_iter().map(|(place, _new)| place));
        changed.sort_unstable();
        changed.dedup();
        if !changed.is_empty() {
            bail!(
                "changed in more than a secret, which counts after a restart: {}",
                changed.join(", ")
            );
        }
        Ok(())
    }
}

impl Receiver {
    fn new(
        config: &Config,
        place: &str,
        settings: &ReceiverSettings,
        sending: Arc<Semaphore>,
    ) -> anyhow::Result<Self> {
        settings.check_tenants(config.only_tenant()?.as_ref())?;
        let outgoing = Outgoing::new(&OutgoingRules {
            ca: settings.ca.as_deref(),
            client_certificate: None,
            allow_private_addresses: settings.allow_private_addresses,
            allow_plain_loopback: config.is_development(),
            egress_proxy: config.grants.egress_proxy.as_deref(),
        })?;
        Ok(Self {
            place: place.to_owned(),
            settings: settings.without_secrets(),
            sending,
            outgoing,
            secrets: RwLock::new(settings.secrets()?),
            source: config.webhooks.source.clone(),
            only_tenant: config.only_tenant()?.map(|tenant| tenant.name().to_owned()),
            deadline: Duration::from_secs(config.webhooks.deadline_seconds.into()),
            concurrent: config.webhooks.concurrent as usize,
            health: Mutex::default(),
        })
    }

    /// Sends the events that are due, until none is left or the receiver fails.
    pub(crate) async fn send_due(self: &Arc<Self>, store: &Store) -> Result<(), StoreError> {
        let lease = self.deadline + LEASE;
        loop {
            let Some(limit) = self.health().limit(Instant::now(), self.concurrent) else {
                return Ok(());
            };
            let claimed = Instant::now();
            let lease_us = lease.as_micros() as i64;
            let due = store.claim_deliveries(&self.settings.name, limit, lease_us).await?;
            if due.is_empty() {
                return Ok(());
            }
            let sent = self.send_all(due, claimed + LEASE).await;
            if sent.is_empty() {
                // The leases of all events have expired.
                return Ok(());
            }
            let (works, outcomes) = self.judge(sent);
            // It retries until the lease expires, because otherwise confirmed events would be sent again.
            while let Err(error) =
                store.finish_deliveries(&self.settings.name, outcomes.clone()).await
            {
                if claimed.elapsed() > lease {
                    return Err(error);
                }
                time::sleep(FINISH_PAUSE).await;
            }
            if !works {
                return Ok(());
            }
        }
    }

    /// Sends each of the events, unless the lease may expire before the end of the delivery.
    async fn send_all(
        self: &Arc<Self>,
        due: Vec<Delivery>,
        until: Instant,
    ) -> Vec<(Delivery, Result<(), Failure>)> {
        let mut sending = JoinSet::new();
        for delivery in due {
            let receiver = Arc::clone(self);
            sending.spawn(async move {
                let permit = Arc::clone(&receiver.sending).acquire_owned().await.ok()?;
                let send = move || {
                    let _permit = permit;
                    let in_time = Instant::now() < until;
                    in_time.then(|| receiver.send(&delivery)).map(|sent| (delivery, sent))
                };
                task::spawn_blocking(send).await.ok().flatten()
            });
        }
        // A task that panicked may have sent its event: after the lease expires, the event is sent again.
        sending.join_all().await.into_iter().flatten().collect()
    }

    /// Returns whether the receiver takes events, and when each unconfirmed event is sent again, in microseconds.
    fn judge(
        &self,
        sent: Vec<(Delivery, Result<(), Failure>)>,
    ) -> (bool, Vec<(Delivery, Option<i64>)>) {
        let has_confirmed = sent.iter().any(|(_delivery, sent)| sent.is_ok());
        let failures = sent.iter().filter_map(|(_delivery, sent)| sent.as_ref().err());
        let worst =
            failures.filter(|failure| !failure.is_of_event).max_by_key(|failure| failure.pause);
        let pause = self.note(worst, has_confirmed);
        let outcome = |(delivery, sent): (Delivery, Result<(), Failure>)| {
            let pause = sent.err().map(|failure| {
                if failure.is_of_event && delivery.attempts() == 0 {
                    let (receiver, event, why) =
                        (&self.settings.name, delivery.event(), failure.why);
                    warn!(receiver, event, why, "the receiver of webhooks refuses an event");
                }
                let alone = failure.is_of_event || has_confirmed;
                if alone { with_jitter(event_pause(delivery.attempts())) } else { pause }
            });
            (delivery, pause.map(|pause| pause.as_micros() as i64))
        };
        (worst.is_none(), sent.into_iter().map(outcome).collect())
    }

    /// Sends one event. Blocks.
    fn send(&self, delivery: &Delivery) -> Result<(), Failure> {
        let body = event::cloud_event(delivery, &self.source, self.only_tenant.as_deref());
        let time = Timestamp::now().as_second();
        let headers = self.headers(delivery.event(), time, &body);
        match self.outgoing.notify(&self.settings.url, headers, &body, self.deadline) {
            Ok((200..=299, _)) => Ok(()),
            Ok((status, retry_after)) => Err(Failure::of_status(status, retry_after, time)),
            Err(error) => {
                Err(Failure { why: error.to_string(), pause: Pause::Usual, is_of_event: false })
            }
        }
    }

    /// Returns the headers of Standard Webhooks. During the replacement of a secret, there is a signature by each.
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

    /// Records whether the receiver failed, logs the first failure and the recovery, and returns how long nothing is
    /// sent.
    fn note(&self, failure: Option<&Failure>, has_confirmed: bool) -> Duration {
        let receiver = &self.settings.name;
        let mut health = self.health();
        let Some(Failure { why, pause, .. }) = failure else {
            if let Some(failures) = health.succeeded() {
                info!(receiver, failures, "the receiver of webhooks takes events again");
            }
            return Duration::ZERO;
        };
        let (has_begun, left_alone) = health.failed(Instant::now(), *pause, has_confirmed);
        if *pause == Pause::UntilReload {
            error!(
                receiver,
                "the receiver of webhooks answered 410 Gone: events wait until the server is restarted or gets \
                 SIGHUP"
            );
        } else if has_begun {
            warn!(receiver, why, "events wait, because the receiver of webhooks fails");
        }
        left_alone
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason why an event was not confirmed, and the time for which nothing is sent.
struct Failure {
    /// For the log.
    why: String,
    pause: Pause,
    /// Whether the receiver rejects only this event.
    is_of_event: bool,
}

impl Failure {
    fn of_status(status: u16, retry_after: Option<String>, now: i64) -> Self {
        let wanted = retry_after.and_then(|value| provider::retry_after(&value, now));
        let pause = match (status, wanted) {
            (410, _) => Pause::UntilReload,
            (429 | 503, Some(seconds)) => Pause::Of(Duration::from_secs(seconds.into())),
            _ => Pause::Usual,
        };
        let why = match status {
            300..=399 => format!("it answered {status}, a redirect, which is not followed"),
            _ => format!("it answered {status}"),
        };
        Self { why, pause, is_of_event: matches!(status, 400 | 409 | 413 | 415 | 422) }
    }
}

/// Returns the pause before the next attempt of an event, after this number of attempts.
fn event_pause(attempts: u32) -> Duration {
    let (first, most) = EVENT_PAUSES;
    first.saturating_mul(1 << attempts.min(16)).min(most)
}

/// Adds up to a fifth, so that servers do not all call at once.
fn with_jitter(pause: Duration) -> Duration {
    let [part] = *random::<1>();
    pause + pause * u32::from(part) / (5 * 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONTRACT 68: a receiver's `Retry-After` counts with a status that can mean it.
    #[test]
    fn a_failure_says_for_how_long_nothing_is_sent() {
        let pause = |status, retry_after: Option<&str>| {
            Failure::of_status(status, retry_after.map(str::to_owned), 0).pause
        };
        for status in [429, 503] {
            assert_eq!(pause(status, Some("600")), Pause::Of(Duration::from_secs(600)));
            assert_eq!(pause(status, None), Pause::Usual);
        }
        assert_eq!(pause(500, Some("600")), Pause::Usual);
        assert_eq!(pause(410, Some("600")), Pause::UntilReload);
    }

    /// CONTRACT 68: a rejected event is sent again after at most 18 minutes.
    #[test]
    fn an_event_waits_longer_each_time() {
        assert_eq!(event_pause(0), Duration::from_secs(5));
        assert_eq!(event_pause(1), Duration::from_secs(10));
        let most = event_pause(u32::MAX);
        assert_eq!(most, Duration::from_secs(15 * 60));
        for _ in 0..100 {
            assert!((most..=Duration::from_secs(18 * 60)).contains(&with_jitter(most)));
        }
    }
}
