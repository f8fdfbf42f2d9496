//! The outbox: chooses the receivers of an event and writes it for them.
//!
//! Invariant: every event is written in the transaction that makes the change, unless too many other events wait.

use std::sync::atomic::{AtomicU64, Ordering};

use diesel::prelude::*;
use model::{EventKind, RecordId, TenantId};
use tracing::warn;

use super::{DeliveryRow, next_position};
use crate::{
    Counter, ReceiverFigures, StoreError,
    backend::conn::{Conn, on_backend},
    seal::random_name,
    tables::schema::{deliveries, external_tokens},
};

/// The events to send to a receiver of webhooks.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The receiver's name.
    pub receiver: String,
    /// The tenants whose events are sent; `None` for all.
    pub tenants: Option<Vec<TenantId>>,
    /// The kinds of events to send.
    pub kinds: Vec<EventKind>,
}

/// The receivers of webhooks, and the limits of their events.
#[derive(Clone, Debug, Default)]
pub struct OutboxOptions {
    /// The receivers.
    pub subscriptions: Vec<Subscription>,
    /// Approximate limit of waiting events of a receiver. Beyond it, new ones are dropped.
    pub most_waiting: u64,
    /// How long refreshes of a grant must have failed before that is an event, in microseconds.
    pub failing_us: i64,
    /// How long before the expiry of a refresh token that is an event, in microseconds.
    pub expiring_us: i64,
}

/// An event before its receivers are chosen.
struct Event<'a> {
    kind: EventKind,
    subject: String,
    tenant: Option<&'a str>,
    owner: Option<&'a str>,
    provider: &'a str,
    details: Details,
}

/// A provider, for events about its pauses.
#[derive(Clone, Debug)]
pub struct PausedProvider {
    /// Its client (`provider::client_digest`).
    pub client_digest: [u8; 32],
    /// Its name.
    pub name: String,
    /// The tenants that it is configured for; `None` for all.
    pub tenants: Option<Vec<TenantId>>,
}

/// Cause and consequences of an event, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// `model::GrantCause`.
    pub(crate) cause: Option<String>,
    /// Expiry of the refresh token.
    pub(crate) refresh_by: Option<i64>,
}

/// Writes events to the table.
#[derive(Debug)]
pub(crate) struct Outbox {
    receivers: Vec<Receiver>,
    most_waiting: u64,
    /// How long refreshes of a grant must have failed before that is an event, in microseconds.
    pub(crate) failing_us: i64,
    /// How long before the expiry of a refresh token that is an event, in microseconds.
    pub(crate) expiring_us: i64,
}

#[derive(Debug)]
struct Receiver {
    subscription: Subscription,
    /// Number of events that wait for it, as far as this process knows.
    waiting: AtomicU64,
    /// Number of events dropped since the queue last had room.
    dropped: AtomicU64,
    /// Numbers of events that it confirmed, and that were dropped.
    delivered: Counter,
    dropped_in_all: Counter,
}

impl Outbox {
    pub(crate) fn new(options: OutboxOptions) -> Self {
        let OutboxOptions { subscriptions, most_waiting, failing_us, expiring_us } = options;
        let receiver = |subscription| Receiver {
            subscription,
            waiting: AtomicU64::default(),
            dropped: AtomicU64::default(),
            delivered: Counter::default(),
            dropped_in_all: Counter::default(),
        };
        let receivers = subscriptions.into_iter().map(receiver).collect();
        Self { receivers, most_waiting, failing_us, expiring_us }
    }

    /// Returns whether there is no receiver.
    pub(crate) fn is_off(&self) -> bool {
        self.receivers.is_empty()
    }

    /// Returns the names of the receivers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.receivers.iter().map(|receiver| receiver.subscription.receiver.as_str())
    }

    /// Returns the events of each receiver.
    pub(crate) fn figures(&self) -> Vec<ReceiverFigures> {
        let of_one = |receiver: &Receiver| ReceiverFigures {
            name: receiver.subscription.receiver.clone(),
            waiting: receiver.waiting.load(Ordering::Relaxed),
            delivered: receiver.delivered.read(),
            dropped: receiver.dropped_in_all.read(),
        };
        self.receivers.iter().map(of_one).collect()
    }

    /// Subtracts events that a receiver confirmed from its count.
    pub(crate) fn confirmed(&self, name: &str, count: u64) {
        if let Some(receiver) = self.receiver(name) {
            receiver.delivered.add(count);
            let less = |known: u64| Some(known.saturating_sub(count));
            let _ = receiver.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// Sets the count of events that wait for a receiver. If there is room again, logs how many were dropped before.
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

    /// Writes an event about a record, which the caller has locked. Returns false if receivers want the event but none
    /// had room for it.
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
        // Users can cause any number of these, so they get half of the room and cannot displace the others.
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
                receiver.dropped_in_all.note();
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
