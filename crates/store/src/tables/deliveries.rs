//! The deliveries table: events that wait for a receiver of webhooks.
//!
//! Invariant: a row stays until the receiver confirmed its event or the event is too old. Of the events about one
//! subject, only the oldest waiting one is sent to a receiver.

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

/// The columns by which rows are found and locked.
pub(crate) const DELIVERY_KEY: (deliveries::receiver, deliveries::subject, deliveries::position) =
    (deliveries::receiver, deliveries::subject, deliveries::position);

/// Their values.
pub(crate) type DeliveryKey = (String, String, i64);

/// An event to send to a receiver. Times are microseconds since 1970 UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery(DeliveryRow);

impl Delivery {
    /// Returns the event's id, which is the same for each attempt and each receiver.
    pub fn event(&self) -> &str {
        &self.0.event
    }

    /// Returns the name of its kind (`model::EventKind`).
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// Returns the receiver's name.
    pub fn receiver(&self) -> &str {
        &self.0.receiver
    }

    pub(crate) fn of_row(row: DeliveryRow) -> Self {
        Self(row)
    }

    /// Returns the key by which rows are locked in order.
    pub(crate) fn key(&self) -> (&str, &str, i64) {
        (&self.0.receiver, &self.0.subject, self.0.position)
    }

    /// Returns the event's record, or `None` if the event is about a provider.
    pub fn record(&self) -> Option<&str> {
        self.0.tenant.as_ref().map(|_of_record| self.0.subject.as_str())
    }

    /// Returns the tenant of the record.
    pub fn tenant(&self) -> Option<&str> {
        self.0.tenant.as_deref()
    }

    /// Returns the login that saved the record.
    pub fn owner(&self) -> Option<&str> {
        self.0.owner.as_deref()
    }

    /// Returns the provider.
    pub fn provider(&self) -> &str {
        &self.0.provider
    }

    /// Returns the cause (`model::GrantCause`).
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Returns the expiry of the refresh token.
    pub fn refresh_by(&self) -> Option<i64> {
        self.0.refresh_by
    }

    /// Returns the time of the event.
    pub fn occurred(&self) -> i64 {
        self.0.occurred
    }

    /// Returns the number of earlier attempts to send it.
    pub fn attempts(&self) -> u32 {
        self.0.attempts.unsigned_abs()
    }
}

/// Returns the position after a receiver's waiting events about a subject.
fn next_position(conn: &mut Conn, receiver: &str, subject: &str) -> Result<i64, StoreError> {
    let waiting = deliveries::table
        .filter(deliveries::receiver.eq(receiver))
        .filter(deliveries::subject.eq(subject))
        .select(dsl::max(deliveries::position));
    let last: Option<i64> = on_backend!(conn, |conn| waiting.first(conn))?;
    Ok(last.unwrap_or(0) + 1)
}

/// Returns whether a receiver has an event that is due.
pub(crate) fn is_due(conn: &mut Conn, receiver: &str, now: i64) -> Result<bool, StoreError> {
    let due = deliveries::table
        .filter(deliveries::receiver.eq(receiver))
        .filter(deliveries::due.le(now))
        .select(deliveries::position)
        .limit(1);
    let first: Option<i64> = on_backend!(conn, |conn| due.first(conn)).optional()?;
    Ok(first.is_some())
}

/// Claims due events of a receiver: of each subject the oldest waiting one. No server claims them again before `until`.
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

/// Schedules an unconfirmed event again at `due`, unless another server has claimed it meanwhile.
pub(crate) fn postpone(conn: &mut Conn, delivery: &Delivery, due: i64) -> Result<(), StoreError> {
    let Delivery(row) = delivery;
    let failed = deliveries::table
        .find((&row.receiver, &row.subject, row.position))
        .filter(deliveries::event.eq(&row.event))
        .filter(deliveries::attempts.eq(row.attempts + 1));
    on_backend!(conn, |conn| diesel::update(failed).set(deliveries::due.eq(due)).execute(conn))?;
    Ok(())
}

/// Counts the events that wait for a receiver.
pub(crate) fn count(conn: &mut Conn, receiver: &str) -> Result<u64, StoreError> {
    let waiting = deliveries::table.filter(deliveries::receiver.eq(receiver)).count();
    let count: i64 = on_backend!(conn, |conn| waiting.get_result(conn))?;
    Ok(count.unsigned_abs())
}

/// Returns some events that happened at `by` or before.
pub(crate) fn old(conn: &mut Conn, by: i64) -> Result<Vec<Delivery>, StoreError> {
    let old = deliveries::table
        .filter(deliveries::occurred.le(by))
        .order(deliveries::occurred)
        .limit(BATCH);
    let rows: Vec<DeliveryRow> =
        on_backend!(conn, |conn| old.select(DeliveryRow::as_select()).load(conn))?;
    Ok(rows.into_iter().map(Delivery).collect())
}
