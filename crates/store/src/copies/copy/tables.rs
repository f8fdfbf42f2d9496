//! The tables as they are copied: whole rows, by pages.
//!
//! Invariant: a row has every column that the schema has, or this does not compile.

use std::hash::Hash;

use diesel::{dsl::sql, prelude::*, sql_types::BigInt};

use crate::{
    StoreError,
    backend::conn::{Conn, on_backend},
    copies::verify::counted,
    keys::keyring::KekRow,
    tables::{
        credentials::CredentialRow,
        external_tokens::TokenRow,
        reservations::Reservation,
        schema::{
            applications, credentials, external_tokens, idempotency_keys, keks, retired_keks, users,
        },
    },
};

/// Rows that are read, and written in one transaction; those of records may be megabytes each.
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

/// The row of a master key that was retired.
#[derive(PartialEq, Insertable, Queryable)]
#[diesel(table_name = retired_keks)]
pub(super) struct RetiredKekRow {
    id: String,
    retired: i64,
}

/// Which rows are meant.
#[derive(Clone, Copy)]
pub(super) enum Which<'a, K> {
    /// The next ones behind this, or the first ones, in an order of the backend's own.
    After(Option<&'a K>),
    /// Those with these keys, and perhaps others.
    These(&'a [K]),
}

/// A table, by its rows.
pub(super) trait Table: PartialEq + Sized {
    /// What a row is found by.
    type Key: Clone + Eq + Hash;
    /// What its rows are called.
    const NAME: &'static str;
    /// Whether rows of its kind, as this one is, go away by themselves: that the source lacks it tells nothing.
    const GOES: fn(&Self) -> bool;

    /// The row's key.
    fn key(&self) -> Self::Key;
    /// Whole rows.
    fn rows(conn: &mut Conn, which: Which<'_, Self::Key>) -> Result<Vec<Self>, StoreError>;
    /// The keys of rows, each with a number that grows when the row is changed.
    fn stamps(
        conn: &mut Conn,
        which: Which<'_, Self::Key>,
    ) -> Result<Vec<(Self::Key, i64)>, StoreError>;
    /// Adds rows; `Conflict` if one is there.
    fn insert(conn: &mut Conn, rows: &[Self]) -> Result<(), StoreError>;
    /// Removes a row, if it is there.
    fn remove(conn: &mut Conn, key: &Self::Key) -> Result<(), StoreError>;
    /// How many rows there are.
    fn count(conn: &mut Conn) -> Result<u64, StoreError>;
}

/// A `Table`: its columns that are the key, what grows, and how rows are found by a key or keys.
macro_rules! table {
    (
        $row:ty, $table:ident, $name:literal, $key:ty: $columns:expr, |$self:ident| $of:expr, $stamp:expr,
        |$one:ident| $after:expr, $is:expr, |$many:ident| $among:expr, $goes:expr
    ) => {
        impl Table for $row {
            type Key = $key;
            const NAME: &'static str = $name;
            const GOES: fn(&Self) -> bool = $goes;

            fn key(&$self) -> $key {
                $of
            }

            fn rows(conn: &mut Conn, which: Which<'_, $key>) -> Result<Vec<Self>, StoreError> {
                table!(@select conn, which, $table::table, $columns, |$one| $after, |$many| $among)
            }

            fn stamps(
                conn: &mut Conn,
                which: Which<'_, $key>,
            ) -> Result<Vec<($key, i64)>, StoreError> {
                let stamps = $table::table.select(($columns, $stamp));
                table!(@select conn, which, stamps, $columns, |$one| $after, |$many| $among)
            }

            fn insert(conn: &mut Conn, rows: &[Self]) -> Result<(), StoreError> {
                match conn {
                    // A statement is prepared once.
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
            Which::After(None) => $query.order($columns).limit(PAGE).load(conn)?,
            Which::After(Some($one)) => {
                $query.filter($after).order($columns).limit(PAGE).load(conn)?
            }
            Which::These($many) => $query.filter($among).load(conn)?,
        }))
    };
    // With a key of one column.
    ($row:ty, $table:ident, $name:literal, $key:ty: $column:ident, $stamp:ident, $goes:expr) => {
        table!(
            $row, $table, $name, $key: $table::$column, |self| self.$column.clone(), $table::$stamp,
            |one| $table::$column.gt(one), $table::$column.eq(one), |many| $table::$column.eq_any(many),
            $goes
        );
    };
}

table!(KekRow, keks, "master keys", String: id, created, stays);
table!(RetiredKekRow, retired_keks, "retired master keys", String: id, retired, stays);
table!(CredentialRow, credentials, "credentials", String: id, created, goes);
table!(ApplicationRow, applications, "applications", String: name, updated, stays);
// A record that ended was changed when it did.
table!(
    TokenRow, external_tokens, "records", i64: external_tokens::id,
    |self| self.id, sql::<BigInt>("coalesce(ended, updated)"),
    |one| external_tokens::id.gt(one), external_tokens::id.eq(one),
    |many| external_tokens::id.eq_any(many), |row| !row.lives()
);
table!(Reservation, idempotency_keys, "idempotency keys", Vec<u8>: digest, expires, goes);
table!(
    UserRow, users, "users", (String, String): (users::tenant, users::login),
    |self| (self.tenant.clone(), self.login.clone()), users::updated,
    |one| users::tenant.gt(&one.0).or(users::tenant.eq(&one.0).and(users::login.gt(&one.1))),
    users::tenant.eq(&one.0).and(users::login.eq(&one.1)),
    |many| users::tenant
        .eq_any(many.iter().map(|key| &key.0))
        .and(users::login.eq_any(many.iter().map(|key| &key.1))),
    stays
);

fn stays<T>(_row: &T) -> bool {
    false
}

fn goes<T>(_row: &T) -> bool {
    true
}
