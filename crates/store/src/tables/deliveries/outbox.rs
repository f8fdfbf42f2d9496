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
    cause: Option<String>,
    refresh_by: Option<i64>,
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

/// The way into the table.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    options: OutboxOptions,
    /// How many events wait for each receiver, as far as this process knows, in the order of the subscriptions.
    waiting: Vec<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    count: AtomicU64,
    dropped: AtomicU64,
}

impl Outbox {
    pub(crate) fn new(options: OutboxOptions) -> Self {
        let waiting = options.subscriptions.iter().map(|_receiver| Waiting::default()).collect();
        Self { options, waiting }
    }

    /// Whether there is no receiver.
    pub(crate) fn is_off(&self) -> bool {
        self.options.subscriptions.is_empty()
    }

    /// For how long refreshes of a grant must have failed before that is an event, in microseconds.
    pub(crate) fn failing_us(&self) -> i64 {
        self.options.failing_us
    }

    /// How long before the end of a refresh token that is an event, in microseconds.
    pub(crate) fn expiring_us(&self) -> i64 {
        self.options.expiring_us
    }

    /// Notes that a receiver confirmed events.
    pub(crate) fn confirmed(&self, receiver: &str, count: u64) {
        if let Some(waiting) = self.waiting_for(receiver) {
            let less = |known: u64| Some(known.saturating_sub(count));
            let _ = waiting.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }

    /// How many events may wait for a receiver.
    pub(crate) fn most_waiting(&self) -> u64 {
        self.options.most_waiting
    }

    fn waiting_for(&self, receiver: &str) -> Option<&Waiting> {
        let of = self.options.subscriptions.iter().position(|one| one.receiver == receiver);
        of.map(|index| &self.waiting[index])
    }

    /// Notes how many events wait for a receiver. Logs how many were dropped before, if there is room again.
    pub(crate) fn counted(&self, receiver: &str, count: u64) {
        let Some(waiting) = self.waiting_for(receiver) else { return };
        waiting.count.store(count, Ordering::Relaxed);
        if count < self.options.most_waiting {
            let dropped = waiting.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                warn!(
                    receiver,
                    dropped, "events were dropped, because webhooks.waiting others waited"
                );
            }
        }
    }

    /// Writes an event about a record, which the caller has locked; whether a receiver that wants it was sent it, or none
    /// wants it.
    pub(crate) fn write_of_record(
        &self,
        conn: &mut Conn,
        now: i64,
        record: RecordId,
        kind: EventKind,
        details: (Option<String>, Option<i64>),
    ) -> Result<bool, StoreError> {
        if self.is_off() {
            return Ok(true);
        }
        let columns = (external_tokens::tenant, external_tokens::owner, external_tokens::provider);
        let row = external_tokens::table.find(record.as_i64()).select(columns);
        let found: Option<(String, String, String)> =
            on_backend!(conn, |conn| row.first(conn)).optional()?;
        let Some((tenant, owner, provider)) = found else { return Ok(true) };
        let (cause, refresh_by) = details;
        let event = Event {
            kind,
            subject: record.text(),
            tenant: Some(&tenant),
            owner: Some(&owner),
            provider: &provider,
            cause,
            refresh_by,
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
    ) -> Result<bool, StoreError> {
        let PausedProvider { client_digest, name, tenants } = provider;
        let event = Event {
            kind,
            subject: client_digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            tenant: None,
            owner: None,
            provider: name,
            cause,
            refresh_by: None,
        };
        let is_for = |wanted: &Option<Vec<TenantId>>| match (wanted, tenants) {
            (Some(wanted), Some(tenants)) => wanted.iter().any(|one| tenants.contains(one)),
            _ => true,
        };
        self.write(conn, now, &event, is_for)
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
            EventKind::GrantRevoked => self.options.most_waiting.div_ceil(2),
            _ => self.options.most_waiting,
        };
        let (mut dropped, mut written) = (0, 0);
        for (subscription, waiting) in self.options.subscriptions.iter().zip(&self.waiting) {
            if !subscription.kinds.contains(&event.kind) || !is_for(&subscription.tenants) {
                continue;
            }
            if waiting.count.load(Ordering::Relaxed) >= most_waiting {
                dropped += 1;
                if waiting.dropped.fetch_add(1, Ordering::Relaxed) == 0 {
                    let receiver = &subscription.receiver;
                    warn!(receiver, "events are dropped, because webhooks.waiting others wait");
                }
                continue;
            }
            written += 1;
            waiting.count.fetch_add(1, Ordering::Relaxed);
            let row = DeliveryRow {
                receiver: subscription.receiver.clone(),
                subject: event.subject.clone(),
                position: next_position(conn, &subscription.receiver, &event.subject)?,
                event: id.clone(),
                kind: event.kind.name().to_owned(),
                tenant: event.tenant.map(str::to_owned),
                owner: event.owner.map(str::to_owned),
                provider: event.provider.to_owned(),
                cause: event.cause.clone(),
                refresh_by: event.refresh_by,
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
