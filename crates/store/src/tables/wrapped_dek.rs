//! A record's wrapped data key, and the context that it is wrapped for.
//!
//! Invariant: no tokens are loaded. The data key opens nothing without the caller's key.

use diesel::prelude::*;
use model::{Provider, RecordId, TenantId};

use crate::{
    StoreError,
    backend::conn::Conn,
    seal::{Dek, Kek, SealContext},
    tables::{external_tokens::SealedTokens, schema::external_tokens},
};

/// The columns of a row that are needed to unwrap or re-wrap its data key.
#[derive(Queryable, Selectable)]
#[diesel(table_name = external_tokens)]
pub(crate) struct WrappedDek {
    pub(crate) id: i64,
    tenant: String,
    pub(crate) owner: String,
    provider: String,
    generation: i32,
    pub(crate) kek_id: String,
    pub(crate) wrapped_dek: Vec<u8>,
}

impl WrappedDek {
    /// Returns the wrapped data key of other tokens for a record, or `None` if there is no such record.
    pub(crate) fn of_tokens(
        conn: &mut Conn,
        record: RecordId,
        tokens: &SealedTokens,
    ) -> Result<Option<Self>, StoreError> {
        let row = external_tokens::table.find(record.as_i64()).select(Self::as_select());
        let row: Option<Self> = row.first(conn).optional()?;
        Ok(row.map(|row| Self {
            generation: tokens.generation,
            kek_id: tokens.kek_id.clone(),
            wrapped_dek: tokens.wrapped_dek.clone(),
            ..row
        }))
    }

    /// Unwraps the data key, if it opens under this master key.
    pub(crate) fn unwrap(&self, kek: &Kek) -> Option<Dek> {
        self.with_context(|context| kek.unwrap(&self.wrapped_dek, context).ok())
    }

    /// Re-wraps the data key under another master key, if it opens under the old one.
    pub(crate) fn rewrap(&self, old: &Kek, new: &Kek) -> Option<Vec<u8>> {
        let dek = self.unwrap(old)?;
        self.with_context(|context| Some(new.wrap(&dek, context)))
    }

    fn with_context<T>(&self, work: impl FnOnce(SealContext<'_>) -> Option<T>) -> Option<T> {
        let tenant = TenantId::parse(&self.tenant).ok()?;
        let provider = Provider::parse(&self.provider).ok()?;
        let record = RecordId::from_i64(self.id)?;
        work(SealContext {
            tenant: &tenant,
            record,
            provider: &provider,
            generation: self.generation,
        })
    }
}
