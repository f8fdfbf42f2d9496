//! Authorizations of users at providers, and exchanges of the codes that they return.
//!
//! Invariant: every code is sent at most once, by one server of the database.

use model::SecretText;

use crate::{
    Store, StoreError,
    backend::conn::Conn,
    seal::{self, StateBinding},
    tables::exchanges,
    write::lock_order::{LockOrder, Write},
};

/// Lifetime of a state, in microseconds: the time for a user to consent.
const STATE_US: i64 = 10 * 60 * 1_000_000;

impl Store {
    /// Creates a state for an authorization. It is valid for ten minutes, at every server with the same master keys.
    pub fn new_state(&self, binding: &StateBinding<'_>) -> String {
        let end = self.0.clock.now().saturating_add(STATE_US);
        seal::sign_state(self.0.keyring.current().active(), binding, end)
    }

    /// Returns whether `new_state` created this state for the same authorization within its lifetime.
    pub fn is_state(&self, state: &SecretText, binding: &StateBinding<'_>) -> bool {
        let keyring = self.0.keyring.current();
        seal::is_right_state(keyring.keks(), state.expose(), binding, self.0.clock.now())
    }

    /// Records that an authorization code is about to be sent, by its digest. Returns whether it was never sent before.
    pub async fn begin_exchange(&self, digest: [u8; 32]) -> Result<bool, StoreError> {
        let clock = self.0.clock;
        let begin = move |conn: &mut Conn| exchanges::begin(conn, &digest, clock.now());
        self.0.writer.run(Write::of(LockOrder::Exchange(digest)), begin).await
    }

    /// Returns how long ago an authorization code was sent, in microseconds, or `None` if it was not.
    pub async fn exchange_age(&self, digest: [u8; 32]) -> Result<Option<i64>, StoreError> {
        let began = self.0.readers.run(move |conn| exchanges::began(conn, &digest)).await?;
        Ok(began.map(|began| self.0.clock.now().saturating_sub(began)))
    }

    /// Records that an authorization code was not sent after all, by its digest.
    pub async fn undo_exchange(&self, digest: [u8; 32]) -> Result<(), StoreError> {
        let undo = move |conn: &mut Conn| exchanges::remove(conn, &[digest.to_vec()]);
        self.0.writer.run(Write::of(LockOrder::Exchange(digest)), undo).await
    }

    /// Removes codes that were sent long ago.
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
