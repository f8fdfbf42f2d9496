//! Exchanges of authorization codes.
//!
//! Invariant: of all servers of a database one may send a code, once.

use crate::{
    Store, StoreError,
    backend::conn::Conn,
    tables::exchanges,
    write::lock_order::{LockOrder, Write},
};

impl Store {
    /// Notes that an authorization code is about to be sent, by its digest; whether it never was before.
    pub async fn begin_exchange(&self, digest: [u8; 32]) -> Result<bool, StoreError> {
        let clock = self.0.clock;
        let begin = move |conn: &mut Conn| exchanges::begin(conn, &digest, clock.now());
        self.0.writer.run(Write::of(LockOrder::Exchange(digest)), begin).await
    }

    /// Notes that an authorization code was not sent after all, by its digest.
    pub async fn undo_exchange(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        let undo = move |conn: &mut Conn| exchanges::remove(conn, &[digest.to_vec()]);
        self.0.writer.run(Write::of(LockOrder::Exchange(digest)), undo).await
    }

    /// Forgets the codes that were sent long ago.
    pub async fn remove_old_exchanges(&self) -> Result<(), StoreError> {
        let by = self.0.clock.now().saturating_sub(exchanges::KEPT_US);
        let remove = async |found: Vec<Vec<u8>>| {
            let count = found.len();
            let remove = move |conn: &mut Conn| exchanges::remove(conn, &found);
            self.0.writer.run(Write::alone().rows(count), remove).await
        };
        self.in_batches(move |conn| exchanges::older(conn, by), remove).await
    }
}
