//! Rows and statements for re-wrapping records under another master key.
//!
//! Invariant: a row is changed only if its wrapped data key is the one that was read, and the database knows the new
//! key.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary, Text},
};

use crate::{
    StoreError,
    backend::conn::Conn,
    seal::Kek,
    tables::{keks, schema::external_tokens, wrapped_dek::WrappedDek},
};

/// A re-wrapped data key.
pub(crate) struct Rewrap {
    id: i64,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Rewrap {
    /// Re-wraps the data key of a record, if it opens under the old master key.
    pub(crate) fn of(row: &WrappedDek, old: &Kek, new: &Kek) -> Option<Self> {
        let after = row.rewrap(old, new)?;
        Some(Self { id: row.id, before: row.wrapped_dek.clone(), after })
    }
}

/// Returns some records under a key with larger ids than `after`, ordered by id.
pub(crate) fn records_under(
    conn: &mut Conn,
    kek: &str,
    after: i64,
    limit: i64,
) -> Result<Vec<WrappedDek>, StoreError> {
    let rows = external_tokens::table
        .filter(external_tokens::kek_id.eq(kek))
        .filter(external_tokens::id.gt(after))
        .order(external_tokens::id)
        .limit(limit);
    Ok(rows.select(WrappedDek::as_select()).load(conn)?)
}

/// Writes re-wrapped keys of records that are unchanged since they were read, in a transaction. Returns how many it
/// wrote. `KeyRetired`: the database does not know the new key.
pub(crate) fn update_all(
    conn: &mut Conn,
    old: &str,
    new: &str,
    moves: &[Rewrap],
) -> Result<usize, StoreError> {
    keks::hold(conn, new)?;
    match conn {
        Conn::Sqlite(conn) => {
            let mut count = 0;
            for Rewrap { id, before, after } in moves {
                count += diesel::update(external_tokens::table.find(id))
                    .filter(external_tokens::kek_id.eq(old))
                    .filter(external_tokens::wrapped_dek.eq(before))
                    .set((external_tokens::kek_id.eq(new), external_tokens::wrapped_dek.eq(after)))
                    .execute(conn)?;
            }
            Ok(count)
        }
        Conn::Postgres(session) => {
            Ok(session.execute_returning_count(&UpdateAll::of(old, new, moves))?)
        }
    }
}

/// A single statement, which locks the rows in the order of their ids, so that concurrent ones cannot deadlock.
struct UpdateAll<'a> {
    old: &'a str,
    new: &'a str,
    ids: Vec<i64>,
    before: Vec<&'a [u8]>,
    after: Vec<&'a [u8]>,
}

impl<'a> UpdateAll<'a> {
    fn of(old: &'a str, new: &'a str, moves: &'a [Rewrap]) -> Self {
        Self {
            old,
            new,
            ids: moves.iter().map(|moved| moved.id).collect(),
            before: moves.iter().map(|moved| moved.before.as_slice()).collect(),
            after: moves.iter().map(|moved| moved.after.as_slice()).collect(),
        }
    }
}

impl QueryId for UpdateAll<'_> {
    type QueryId = UpdateAll<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for UpdateAll<'_> {
    fn walk_ast<'b>(&'b self, mut sql: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        sql.push_sql(
            "WITH moved AS (SELECT t.id, m.after FROM external_tokens t JOIN (SELECT * FROM unnest(",
        );
        sql.push_bind_param::<Array<BigInt>, _>(&self.ids)?;
        for blobs in [&self.before, &self.after] {
            sql.push_sql(", ");
            sql.push_bind_param::<Array<Binary>, _>(blobs)?;
        }
        sql.push_sql(
            ") AS u (id, before, after)) m ON t.id = m.id AND t.wrapped_dek = m.before WHERE t.kek_id = ",
        );
        sql.push_bind_param::<Text, _>(self.old)?;
        sql.push_sql(
            " ORDER BY t.id FOR UPDATE OF t) UPDATE external_tokens SET wrapped_dek = moved.after, \
             kek_id = ",
        );
        sql.push_bind_param::<Text, _>(self.new)?;
        sql.push_sql(" FROM moved WHERE external_tokens.id = moved.id");
        Ok(())
    }
}
