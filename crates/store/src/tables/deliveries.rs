//! The deliveries table: events that wait for a receiver of webhooks.
//!
//! Invariant: a row stays until the receiver confirmed its event or that is too old. Of the events about one subject, a
//! receiver is sent the first one that waits.

mod outbox;

use diesel::{dsl, prelude::*};

pub(crate) use self::outbox::{Details, Outbox};
pub use self::outbox::{OutboxOptions, PausedProvider, Subscription};
use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    tables::{records::BATCH, schema::deliveries},
};

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

/// How many events wait for a receiver.
pub(crate) fn count(conn: &mut Conn, receiver: &str) -> Result<u64, StoreError> {
    let waiting = deliveries::table.filter(deliveries::receiver.eq(receiver)).count();
    let count: i64 = on_backend!(conn, |conn| waiting.get_result(conn))?;
    Ok(count.unsigned_abs())
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
