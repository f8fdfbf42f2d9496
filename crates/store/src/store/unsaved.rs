//! Moving new tokens from files into the database.
//!
//! Invariant: a file is removed only after the database has its tokens or no longer needs them. A file that the
//! database rejects delays no other.

use std::sync::Arc;

use tokio::task;
use tracing::{error, info};

use crate::{
    OpenError, Store, StoreError,
    backend::conn::Conn,
    error::error_chain,
    record_ids,
    tables::{
        external_tokens::SealedTokens,
        grants::{
            lease::Lease,
            outcome::{Committed, Replacement},
        },
        wrapped_dek::WrappedDek,
    },
};

impl Store {
    /// Keeps new tokens in a file, with their lease.
    pub(super) async fn write_unsaved(
        &self,
        tokens: Replacement,
        lease: Option<Arc<Lease>>,
    ) -> Result<(), OpenError> {
        let inner = Arc::clone(&self.0);
        let written = task::spawn_blocking(move || inner.unsaved.write(&tokens, lease)).await;
        written.expect("writing a file does not panic")
    }

    /// Checks that new tokens can be kept in files while the database is away. Blocks.
    ///
    /// # Errors
    /// The folder cannot be created or written.
    pub fn probe_unsaved(&self) -> Result<(), OpenError> {
        self.0.unsaved.probe()
    }

    /// Commits the tokens that wait in files. A server calls it at its start and every second.
    pub async fn save_unsaved(&self) -> Result<(), StoreError> {
        self.save_some_unsaved(self.0.unsaved.list()).await
    }

    pub(super) async fn save_some_unsaved(&self, files: Vec<(i64, i64)>) -> Result<(), StoreError> {
        for file in files {
            let inner = Arc::clone(&self.0);
            let read = move || inner.unsaved.is_there(file).then(|| inner.unsaved.read(file));
            let read = task::spawn_blocking(read).await.expect("reading a file does not panic");
            let record = record_ids::name_of(file.0);
            let tokens = match read {
                Some(Ok(tokens)) => tokens,
                None => continue,
                Some(Err(error)) => {
                    if self.0.unsaved.report(file) {
                        error!(
                            record,
                            error = error_chain(&error),
                            "unsaved tokens cannot be read"
                        );
                    }
                    continue;
                }
            };
            let mut committed = self.commit(tokens.clone()).await;
            if let Err(StoreError::KeyRetired(kek)) = &committed
                && let Some(tokens) = self.rewrap_unsaved(tokens, kek).await?
            {
                committed = self.commit(tokens).await;
            }
            match committed {
                Ok(Committed::Absent) => {
                    error!(
                        record,
                        "unsaved tokens are of a record that has another key, or is not in this database"
                    );
                    self.0.unsaved.forget(file);
                }
                Ok(committed) => self.remove_unsaved(file, committed).await,
                Err(StoreError::KeyRetired(kek)) => {
                    if self.0.unsaved.report(file) {
                        error!(
                            record,
                            kek.id = kek,
                            "the master key of unsaved tokens was retired, and has no file in the folder of keys"
                        );
                    }
                }
                Err(
                    error @ (StoreError::Overloaded
                    | StoreError::Unavailable(_)
                    | StoreError::Closed),
                ) => {
                    return Err(error);
                }
                Err(error) => {
                    if self.0.unsaved.report(file) {
                        error!(record, error = error_chain(&error), "unsaved tokens are refused");
                    }
                }
            }
        }
        Ok(())
    }

    /// Re-wraps the tokens' DEK under the active master key. Returns `None` if the retired key's file is gone.
    async fn rewrap_unsaved(
        &self,
        tokens: Replacement,
        retired: &str,
    ) -> Result<Option<Replacement>, StoreError> {
        let Ok(retired) = self.0.keyring.keys.take_up(retired) else { return Ok(None) };
        self.leave_key(retired.kek.id()).await?;
        let keyring = self.keyring_to_wrap(1).await?;
        let (record, sealed) = (tokens.record, tokens.sealed.clone());
        let find = move |conn: &mut Conn| WrappedDek::of_tokens(conn, record, &sealed);
        let found = self.0.readers.run(find).await?;
        let wrapped = found.and_then(|dek| dek.rewrap(&retired.kek, keyring.active()));
        Ok(wrapped.map(|wrapped_dek| {
            let kek_id = keyring.active().id().to_owned();
            let sealed = SealedTokens { kek_id, wrapped_dek, ..tokens.sealed.clone() };
            Replacement { sealed, ..tokens }
        }))
    }

    async fn remove_unsaved(&self, file: (i64, i64), committed: Committed) {
        let record = record_ids::name_of(file.0);
        match committed {
            Committed::Done { .. } => info!(record, "unsaved tokens were committed"),
            _ => info!(record, outcome = ?committed, "unsaved tokens were dropped"),
        }
        let inner = Arc::clone(&self.0);
        let removed = task::spawn_blocking(move || inner.unsaved.remove(file)).await;
        if let Err(error) = removed.expect("removing a file does not panic") {
            error!(record, error = error_chain(&error), "their file is still there");
        }
    }
}
