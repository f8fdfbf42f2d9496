//! The tables to copy: whole rows, in pages.
//!
//! Invariant: every row type has all columns of the schema, because otherwise this file does not compile.

use std::hash::Hash;

use diesel::{dsl::sql, prelude::*, sql_types::BigInt};

use crate::{
    Clock, StoreError,
    backend::conn::{Conn, on_backend},
    copies::verify::counted,
    keys::keyring::KekRow,
    tables::{
        audit::{AnchorRow, AuditKeyRow},
        credentials::CredentialRow,
        deliveries::DeliveryRow,
        exchanges::KEPT_US,
        external_tokens::TokenRow,
        grants::GrantRow,
        idempotency_keys::IdempotencyRow,
        schema::{
            applications, audit_anchors, audit_keys, credentials, deliveries, exchanges,
            external_tokens, grants, idempotency_keys, keks, provider_states, retired_keks, users,
        },
    },
};

/// Rows read, and written, in one transaction. Rows of records may be megabytes each.
const PAGE: i64 = 64;

/// A user's row.
#[derive(PartialEq, Insertable, Queryable)]
#[diesel(table_name = users)]
pub(super) struct UserRow {
    tenant: String,
    login: String,
    password_hash: String,
    is_administrator: bool,
    is_disabled: bool,
    created: i64,
    updated: i64,
    version: i64,
    tenant_name: Option<String>,
}

/// An application's row.
#[derive(PartialEq, Insertable, Queryable)]
#[diesel(table_name = applications)]
pub(super) struct ApplicationRow {
    name: String,
    token_digest: Vec<u8>,
    tenants: String,
    is_disabled: bool,
    created: i64,
    updated: i64,
}

/// The row of a retired master key.
#[derive(PartialEq, Insertable, Queryable)]
#[diesel(table_name = retired_keks)]
pub(super) struct RetiredKekRow {
    id: String,
    retired: i64,
}

/// The row of a paused client of a provider.
#[derive(PartialEq, Insertable, Queryable)]
#[diesel(table_name = provider_states)]
pub(super) struct ProviderPauseRow {
    client_digest: Vec<u8>,
    cause: String,
    since: i64,
    retry_at: i64,
}

/// The row of an authorization code that was sent.
#[derive(PartialEq, Insertable, Queryable)]
#[diesel(table_name = exchanges)]
pub(super) struct ExchangeRow {
    digest: Vec<u8>,
    began: i64,
}

/// A selection of rows.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a, K> {
    /// The next rows after this key, or the first ones, in the backend's own order.
    After(Option<&'a K>),
    /// The rows with these keys, and perhaps others.
    These(&'a [K]),
}

/// A table, by its rows.
pub(super) trait Table: PartialEq + Sized {
    /// The key that identifies a row.
    type Key: Clone + Eq + Hash;
    /// The rows' name in messages.
    const NAME: &'static str;

    /// Returns the row's key.
    fn key(&self) -> Self::Key;
    /// Returns whether the row may expire. Then its absence from the source does not prove that the target was used.
    fn expires_by_itself(&self) -> bool;
    /// Reads whole rows.
    fn rows(conn: &mut Conn, which: Rows<'_, Self::Key>) -> Result<Vec<Self>, StoreError>;
    /// Reads the keys of rows, each with a number that grows when the row changes. Credentials and master keys have
    /// their creation time instead, which does not grow.
    fn stamps(
        conn: &mut Conn,
        which: Rows<'_, Self::Key>,
    ) -> Result<Vec<(Self::Key, i64)>, StoreError>;
    /// Inserts rows. `Conflict`: one exists already.
    fn insert(conn: &mut Conn, rows: &[Self]) -> Result<(), StoreError>;
    /// Removes a row, if it exists.
    fn remove(conn: &mut Conn, key: &Self::Key) -> Result<(), StoreError>;
    /// Counts the rows.
    fn count(conn: &mut Conn) -> Result<u64, StoreError>;
}

/// Implements `Table` for a row type, from its key, its stamp, and the filters for one key and several. The short form
/// is for a key of one column.
macro_rules! copied_table {
    (
        row: $row:ty,
        table: $table:ident,
        name: $name:literal,
        key: $key:ty = $columns:expr,
        key_of: |$self:ident| $of:expr,
        stamp: $stamp:expr,
        after: |$one:ident| $after:expr,
        is: $is:expr,
        among: |$many:ident| $among:expr,
        expires_by_itself: |$this:ident| $expires:expr,
    ) => {
        impl Table for $row {
            type Key = $key;
            const NAME: &'static str = $name;

            fn key(&$self) -> $key {
                $of
            }

            fn expires_by_itself(&self) -> bool {
                let $this = self;
                $expires
            }

            fn rows(conn: &mut Conn, which: Rows<'_, $key>) -> Result<Vec<Self>, StoreError> {
                copied_table!(@select conn, which, $table::table, $columns, |$one| $after, |$many| $among)
            }

            fn stamps(
                conn: &mut Conn,
                which: Rows<'_, $key>,
            ) -> Result<Vec<($key, i64)>, StoreError> {
                let stamps = $table::table.select(($columns, $stamp));
                copied_table!(@select conn, which, stamps, $columns, |$one| $after, |$many| $among)
            }

            fn insert(conn: &mut Conn, rows: &[Self]) -> Result<(), StoreError> {
                match conn {
                    // SQLite prepares a statement only once.
                    Conn::Sqlite(conn) => {
                        for row in rows {
                            diesel::insert_into($table::table).values(row).execute(conn)?;
                        }
                    }
                    Conn::Postgres(conn) => {
                        diesel::insert_into($table::table).values(rows).execute(conn)?;
                    }
                }
                Ok(())
            }

            fn remove(conn: &mut Conn, $one: &$key) -> Result<(), StoreError> {
                on_backend!(conn, |conn| {
                    diesel::delete($table::table.filter($is)).execute(conn)?
                });
                Ok(())
            }

            fn count(conn: &mut Conn) -> Result<u64, StoreError> {
                Ok(counted($table::table.count().get_result(conn)?))
            }
        }
    };
    (
        @select $conn:ident, $which:ident, $query:expr, $columns:expr,
        |$one:ident| $after:expr, |$many:ident| $among:expr
    ) => {
        on_backend!($conn, |conn| Ok(match $which {
            Rows::After(None) => $query.order($columns).limit(PAGE).load(conn)?,
            Rows::After(Some($one)) => {
                $query.filter($after).order($columns).limit(PAGE).load(conn)?
            }
            Rows::These($many) => $query.filter($among).load(conn)?,
        }))
    };
    (
        row: $row:ty,
        table: $table:ident,
        name: $name:literal,
        key: $key:ty = $column:ident,
        stamp: $stamp:ident,
        expires_by_itself: $expires:literal,
    ) => {
        copied_table! {
            row: $row,
            table: $table,
            name: $name,
            key: $key = $table::$column,
            key_of: |self| self.$column.clone(),
            stamp: $table::$stamp,
            after: |one| $table::$column.gt(one),
            is: $table::$column.eq(one),
            among: |many| $table::$column.eq_any(many),
            expires_by_itself: |_row| $expires,
        }
    };
}

copied_table! {
    row: KekRow,
    table: keks,
    name: "master keys",
    key: String = id,
    stamp: created,
    expires_by_itself: false,
}
copied_table! {
    row: RetiredKekRow,
    table: retired_keks,
    name: "retired master keys",
    key: String = id,
    stamp: retired,
    expires_by_itself: false,
}
copied_table! {
    row: AnchorRow,
    table: audit_anchors,
    name: "anchors of the audit log",
    key: String = chain,
    stamp: sequence,
    expires_by_itself: false,
}
copied_table! {
    row: AuditKeyRow,
    table: audit_keys,
    name: "audit keys",
    key: String = audit_keys::kek_id,
    key_of: |self| self.kek_id.clone(),
    // A sealed key is replaced when the key that seals it is retired.
    stamp: sql::<BigInt>("CAST(0 AS BIGINT)"),
    after: |one| audit_keys::kek_id.gt(one),
    is: audit_keys::kek_id.eq(one),
    among: |many| audit_keys::kek_id.eq_any(many),
    expires_by_itself: |_row| false,
}
copied_table! {
    row: CredentialRow,
    table: credentials,
    name: "credentials",
    key: String = id,
    stamp: created,
    expires_by_itself: true,
}
copied_table! {
    row: ApplicationRow,
    table: applications,
    name: "applications",
    key: String = name,
    stamp: updated,
    expires_by_itself: false,
}
copied_table! {
    row: TokenRow,
    table: external_tokens,
    name: "records",
    key: i64 = external_tokens::id,
    key_of: |self| self.id,
    // A record that ended was changed at that moment.
    stamp: sql::<BigInt>("coalesce(ended, updated)"),
    after: |one| external_tokens::id.gt(one),
    is: external_tokens::id.eq(one),
    among: |many| external_tokens::id.eq_any(many),
    expires_by_itself: |row| !row.lives(Clock::SYSTEM.now()),
}
copied_table! {
    row: IdempotencyRow,
    table: idempotency_keys,
    name: "idempotency keys",
    key: Vec<u8> = digest,
    stamp: expires,
    expires_by_itself: true,
}
copied_table! {
    row: UserRow,
    table: users,
    name: "users",
    key: (String, String) = (users::tenant, users::login),
    key_of: |self| (self.tenant.clone(), self.login.clone()),
    stamp: users::updated,
    after: |one| users::tenant.gt(&one.0).or(users::tenant.eq(&one.0).and(users::login.gt(&one.1))),
    is: users::tenant.eq(&one.0).and(users::login.eq(&one.1)),
    among: |many| users::tenant
        .eq_any(many.iter().map(|key| &key.0))
        .and(users::login.eq_any(many.iter().map(|key| &key.1))),
    expires_by_itself: |_row| false,
}
copied_table! {
    row: GrantRow,
    table: grants,
    name: "grants",
    key: i64 = record,
    stamp: attempt,
    // A grant is removed with its record.
    expires_by_itself: true,
}
copied_table! {
    row: ProviderPauseRow,
    table: provider_states,
    name: "paused providers",
    key: Vec<u8> = client_digest,
    stamp: retry_at,
    expires_by_itself: true,
}
copied_table! {
    row: ExchangeRow,
    table: exchanges,
    name: "authorization codes",
    key: Vec<u8> = exchanges::digest,
    key_of: |self| self.digest.clone(),
    stamp: exchanges::began,
    after: |one| exchanges::digest.gt(one),
    is: exchanges::digest.eq(one),
    among: |many| exchanges::digest.eq_any(many),
    expires_by_itself: |row| row.began <= Clock::SYSTEM.now().saturating_sub(KEPT_US),
}
copied_table! {
    row: DeliveryRow,
    table: deliveries,
    name: "events",
    key: (String, String, i64) = (deliveries::receiver, deliveries::subject, deliveries::position),
    key_of: |self| (self.receiver.clone(), self.subject.clone(), self.position),
    stamp: deliveries::occurred,
    after: |one| deliveries::receiver
        .gt(&one.0)
        .or(deliveries::receiver.eq(&one.0).and(deliveries::subject.gt(&one.1)))
        .or(deliveries::receiver
            .eq(&one.0)
            .and(deliveries::subject.eq(&one.1))
            .and(deliveries::position.gt(one.2))),
    is: deliveries::receiver
        .eq(&one.0)
        .and(deliveries::subject.eq(&one.1))
        .and(deliveries::position.eq(one.2)),
    among: |many| deliveries::receiver
        .eq_any(many.iter().map(|key| &key.0))
        .and(deliveries::subject.eq_any(many.iter().map(|key| &key.1)))
        .and(deliveries::position.eq_any(many.iter().map(|key| key.2))),
    // A delivery is removed once it is sent.
    expires_by_itself: |_row| true,
}
