//! The deliveries table: events that wait for a receiver of webhooks.
//!
//! Invariant: an event is written in the transaction that changes what it is about, unless too many others wait; its row
//! stays until the receiver confirmed it or it is too old. Of the events about one subject, a receiver is sent the first one that waits.

use std::sync::atomic::{AtomicU64, Ordering};

use diesel::{dsl, prelude::*};
use model::{EventKind, RecordId, TenantId};
use tracing::warn;

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    seal::random_name,
    tables::{
        records::BATCH,
        schema::{deliveries, external_tokens},
    },
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

/// An event for a receiver.
#[derive(Clone, Debug, PartialEq, Insertable, Queryable, Selectable)]
#[diesel(table_name = deliveries)]
pub(crate) struct DeliveryRow {
    pub(crate) receiver: String,
    pub(crate) subject: String,
    pub(crate) position: i64,
    event: String,
    kind: String,
    tenant: Option<String>,
    owner: Option<String>,
    provider: String,
    cause: Option<String>,
    refresh_by: Option<i64>,
    occurred: i64,
    attempts: i32,
    due: i64,
}

/// An event that is to be sent to a receiver. Times are microseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery(DeliveryRow);

impl Delivery {
    /// The event's id, which is the same at each attempt and for each receiver.
    pub fn event(&self) -> &str {
        &self.0.event
    }

    /// The name of its kind (`model::EventKind`).
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The receiver's name.
    pub fn receiver(&self) -> &str {
        &self.0.receiver
    }

    /// What rows are locked in the order of.
    pub(crate) fn key(&self) -> (&str, &str, i64) {
        (&self.0.receiver, &self.0.subject, self.0.position)
    }

    /// The record that it is about; `None` if it is about a provider.
    pub fn record(&self) -> Option<&str> {
        self.0.tenant.as_ref().map(|_of_record| self.0.subject.as_str())
    }

    /// The tenant of the record.
    pub fn tenant(&self) -> Option<&str> {
        self.0.tenant.as_deref()
    }

    /// The login that saved the record.
    pub fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// The provider.
    pub fn provider(&self) -> &str {
        &self.0.provider
    }

    /// Why it happened (`model::GrantCause`).
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// When the refresh token ends.
    pub fn refresh_by(&self) -> Option<i64> {
        self.0.refresh_by
    }

    /// When it happened.
    pub fn occurred(&self) -> i64 {
        self.0.occurred
    }

    /// How often it was sent before.
    pub fn attempts(&self) -> u32 {
        self.0.attempts.unsigned_abs()
    }
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

/// The position behind the events that wait for a receiver about a subject.
fn next_position(conn: &mut Conn, receiver: &str, subject: &str) -> Result<i64, StoreError> {
    let waiting = deliveries::table
        .filter(deliveries::receiver.eq(receiver))
        .filter(deliveries::subject.eq(subject))
        .select(dsl::max(deliveries::position));
    let last: Option<i64> = on_backend!(conn, |conn| waiting.first(conn))?;
    Ok(last.unwrap_or(0) + 1)
}

/// Whether an event waits for a receiver that may be sent now.
pub(crate) fn is_due(conn: &mut Conn, receiver: &str, now: i64) -> Result<bool, StoreError> {
    let due = deliveries::table
        .filter(deliveries::receiver.eq(receiver))
        .filter(deliveries::due.le(now))
        .select(deliveries::position)
        .limit(1);
    let first: Option<i64> = on_backend!(conn, |conn| due.first(conn)).optional()?;
    Ok(first.is_some())
}

/// Takes events that are to be sent to a receiver now: of each subject the first one that waits. No server takes them
/// again before `until`.
pub(crate) fn claim(
    conn: &mut Conn,
    receiver: &str,
    limit: usize,
    now: i64,
    until: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let earlier = diesel::alias!(deliveries as earlier);
    let same_receiver = earlier.field(deliveries::receiver).eq(deliveries::receiver);
    let same_subject = earlier.field(deliveries::subject).eq(deliveries::subject);
    let is_before = earlier.field(deliveries::position).lt(deliveries::position);
    let before = earlier.filter(same_receiver.and(same_subject).and(is_before));
    let first = deliveries::table
        .filter(deliveries::receiver.eq(receiver))
        .filter(deliveries::due.le(now))
        .filter(dsl::not(dsl::exists(before)))
        .order((deliveries::due, deliveries::subject))
        .limit(limit as i64);
    let rows: Vec<DeliveryRow> = match conn {
        Conn::Sqlite(conn) => first.select(DeliveryRow::as_select()).load(conn)?,
        Conn::Postgres(session) => {
            let first = first.select(DeliveryRow::as_select());
            first.for_update().skip_locked().load(session)?
        }
    };
    for row in &rows {
        let row = deliveries::table.find((&row.receiver, &row.subject, row.position));
        let claimed =
            (deliveries::due.eq(until), deliveries::attempts.eq(deliveries::attempts + 1));
        on_backend!(conn, |conn| diesel::update(row).set(claimed).execute(conn))?;
    }
    Ok(rows.into_iter().map(Delivery).collect())
}

/// Removes an event that the receiver confirmed.
pub(crate) fn confirm(conn: &mut Conn, delivery: &Delivery) -> Result<(), StoreError> {
    let Delivery(row) = delivery;
    let sent = deliveries::table
        .find((&row.receiver, &row.subject, row.position))
        .filter(deliveries::event.eq(&row.event));
    on_backend!(conn, |conn| diesel::delete(sent).execute(conn))?;
    Ok(())
}

/// Lets an event that was not confirmed be sent again, unless another server sends it already.
pub(crate) fn postpone(conn: &mut Conn, delivery: &Delivery, due: i64) -> Result<(), StoreError> {
    let Delivery(row) = delivery;
    let failed = deliveries::table
        .find((&row.receiver, &row.subject, row.position))
        .filter(deliveries::event.eq(&row.event))
        .filter(deliveries::attempts.eq(row.attempts + 1));
    on_backend!(conn, |conn| diesel::update(failed).set(deliveries::due.eq(due)).execute(conn))?;
    Ok(())
}

/// How many events wait for a receiver, as far as `most`.
pub(crate) fn count(conn: &mut Conn, receiver: &str, most: u64) -> Result<u64, StoreError> {
    let waiting = deliveries::table
        .filter(deliveries::receiver.eq(receiver))
        .select(deliveries::position)
        .limit(i64::try_from(most).unwrap_or(i64::MAX));
    let positions: Vec<i64> = on_backend!(conn, |conn| waiting.load(conn))?;
    Ok(positions.len() as u64)
}

/// Some events that happened by then.
pub(crate) fn old(conn: &mut Conn, by: i64) -> Result<Vec<Delivery>, StoreError> {
    let old = deliveries::table
        .filter(deliveries::occurred.le(by))
        .order(deliveries::occurred)
        .limit(BATCH);
    let rows: Vec<DeliveryRow> =
        on_backend!(conn, |conn| old.select(DeliveryRow::as_select()).load(conn))?;
    Ok(rows.into_iter().map(Delivery).collect())
}
