//! The outbox: which receivers an event is written for.
//!
//! Invariant: an event is written in the transaction that changes what it is about, unless too many others wait.

use std::sync::atomic::{AtomicU64, Ordering};

use diesel::prelude::*;
use model::{EventKind, RecordId, TenantId};
use tracing::warn;

use super::{DeliveryRow, next_position};
use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    seal::random_name,
    tables::schema::{deliveries, external_tokens},
};

/// Which events a receiver of webhooks is sent.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The receiver's name.
    pub receiver: String,
    /// The tenants whose events it is sent; `None` is every tenant.
    pub tenants: Option<Vec<TenantId>>,
    /// The kinds that it is sent.
    pub kinds: Vec<EventKind>,
}

/// What receivers of webhooks are sent, and within which bounds.
#[derive(Clone, Debug, Default)]
pub struct OutboxOptions {
    /// The receivers.
    pub subscriptions: Vec<Subscription>,
    /// How many events may wait for a receiver, about. Past that, new ones are dropped.
    pub most_waiting: u64,
    /// For how long refreshes of a grant must have failed before that is an event, in microseconds.
    pub failing_us: i64,
    /// How long before the end of a refresh token that is an event, in microseconds.
    pub expiring_us: i64,
}

/// Something that happened, before it is known who is sent it.
struct Event<'a> {
    kind: EventKind,
    subject: String,
    tenant: Option<&'a str>,
    owner: Option<&'a str>,
    provider: &'a str,
    details: Details,
}

/// A provider, for whose pauses there are events.
#[derive(Clone, Debug)]
pub struct PausedProvider {
    /// Which client of it (`provider::client_digest`).
    pub client_digest: [u8; 32],
    /// Its name.
    pub name: String,
    /// The tenants that it is configured for; `None` is every tenant.
    pub tenants: Option<Vec<TenantId>>,
}

/// Why an event happened, and what follows, as far as that is known.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// `model::GrantCause`.
    pub(crate) cause: Option<String>,
    /// When the refresh token ends.
    pub(crate) refresh_by: Option<i64>,
}

/// The way into the table.
#[derive(Debug)]
pub(crate) struct Outbox {
    receivers: Vec<Receiver>,
    most_waiting: u64,
    /// For how long refreshes of a grant must have failed before that is an event, in microseconds.
    pub(crate) failing_us: i64,
    /// How long before the end of a refresh token that is an event, in microseconds.
    pub(crate) expiring_us: i64,
}

#[derive(Debug)]
struct Receiver {
    subscription: Subscription,
    /// How many events wait for it, as far as this process knows.
    waiting: AtomicU64,
    /// How many events were dropped since there was room for all.
    dropped: AtomicU64,
}

impl Outbox {
    pub(crate) fn new(options: OutboxOptions) -> Self {
        let OutboxOptions { subscriptions, most_waiting, failing_us, expiring_us } = options;
        let receiver = |subscription| Receiver {
            subscription,
            waiting: AtomicU64::default(),
            dropped: AtomicU64::default(),
        };
        let receivers = subscriptions.into_iter().map(receiver).collect();
        Self { receivers, most_waiting, failing_us, expiring_us }
    }

    /// Whether there is no receiver.
    pub(crate) fn is_off(&self) -> bool {
        self.receivers.is_empty()
    }

    /// The names of the receivers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.receivers.iter().map(|receiver| receiver.subscription.receiver.as_str())
    }

    /// Notes that a receiver confirmed events.
    pub(crate) fn confirmed(&self, name: &str, count: u64) {
        if let Some(receiver) = self.receiver(name) {
            let less = |known: u64| Some(known.saturating_sub(count));
            let _ = receiver.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Notes how many events wait for a receiver. Logs how many were dropped before, if there is room again.
    pub(crate) fn counted(&self, name: &str, count: u64) {
        let Some(receiver) = self.receiver(name) else { return };
        receiver.waiting.store(count, Ordering::Relaxed);
        if count < self.most_waiting {
            let dropped = receiver.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                warn!(
                    receiver = name,
                    dropped, "events were dropped, because too many others waited"
                );
            }
        }
    }

    fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.subscription.receiver == name)
    }

    /// Writes an event about a record, which the caller has locked; whether a receiver that wants it was sent it, or none
    /// wants it.
    pub(crate) fn write_of_record(
        &self,
        conn: &mut Conn,
        now: i64,
        record: RecordId,
        kind: EventKind,
        details: Details,
    ) -> Result<bool, StoreError> {
        if self.is_off() {
            return Ok(true);
        }
        let columns = (external_tokens::tenant, external_tokens::owner, external_tokens::provider);
        let row = external_tokens::table.find(record.as_i64()).select(columns);
        let found: Option<(String, String, String)> =
            on_backend!(conn, |conn| row.first(conn)).optional()?;
        let Some((tenant, owner, provider)) = found else { return Ok(true) };
        let event = Event {
            kind,
            subject: record.text(),
            tenant: Some(&tenant),
            owner: Some(&owner),
            provider: &provider,
            details,
        };
        let is_for = |tenants: &Option<Vec<TenantId>>| {
            tenants.as_ref().is_none_or(|named| named.iter().any(|one| one.as_str() == tenant))
        };
        self.write(conn, now, &event, is_for)
    }

    /// Writes an event about a provider, whose pause the caller has locked.
    pub(crate) fn write_of_provider(
        &self,
        conn: &mut Conn,
        now: i64,
        provider: &PausedProvider,
        kind: EventKind,
        cause: Option<String>,
    ) -> Result<(), StoreError> {
        let PausedProvider { client_digest, name, tenants } = provider;
        let event = Event {
            kind,
            subject: client_digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            tenant: None,
            owner: None,
            provider: name,
            details: Details { cause, refresh_by: None },
        };
        let is_for = |wanted: &Option<Vec<TenantId>>| match (wanted, tenants) {
            (Some(wanted), Some(tenants)) => wanted.iter().any(|one| tenants.contains(one)),
            _ => true,
        };
        self.write(conn, now, &event, is_for).map(drop)
    }

    fn write(
        &self,
        conn: &mut Conn,
        now: i64,
        event: &Event<'_>,
        is_for: impl Fn(&Option<Vec<TenantId>>) -> bool,
    ) -> Result<bool, StoreError> {
        let id = random_name() + &random_name();
        // Users cause these as often as they like, and they must not displace the others.
        let most_waiting = match event.kind {
            EventKind::GrantRevoked => self.most_waiting.div_ceil(2),
            _ => self.most_waiting,
        };
        let (mut dropped, mut written) = (0, 0);
        for receiver in &self.receivers {
            let Subscription { receiver: name, tenants, kinds } = &receiver.subscription;
            if !kinds.contains(&event.kind) || !is_for(tenants) {
                continue;
            }
            if receiver.waiting.load(Ordering::Relaxed) >= most_waiting {
                dropped += 1;
                if receiver.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
                    warn!(receiver = name, "events are dropped, because too many others wait");
                }
                continue;
            }
            written += 1;
            receiver.waiting.fetch_add(1, Ordering::Relaxed);
            let row = DeliveryRow {
                receiver: name.clone(),
                subject: event.subject.clone(),
                position: next_position(conn, name, &event.subject)?,
                event: id.clone(),
                kind: event.kind.name().to_owned(),
                tenant: event.tenant.map(str::to_owned),
                owner: event.owner.map(str::to_owned),
                provider: event.provider.to_owned(),
                cause: event.details.cause.clone(),
                refresh_by: event.details.refresh_by,
                occurred: now,
                attempts: 0,
                due: now,
            };
            let insert = diesel::insert_into(deliveries::table).values(&row);
            on_backend!(conn, |conn| insert.execute(conn))?;
        }
        Ok(written > 0 || dropped == 0)
    }
}
