//! The credentials that are being renewed.
//!
//! Invariant: of the concurrent calls that find one credential due for renewal, exactly one writes to the database.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use model::CredentialId;

/// The renewals in progress.
#[derive(Default)]
pub(crate) struct Renewals(Mutex<HashSet<CredentialId>>);

/// A renewal in progress. It ends when it is dropped.
pub(crate) struct Renewal<'a> {
    renewals: &'a Renewals,
    id: CredentialId,
}

impl Renewals {
    /// Begins to renew a credential. Returns `None` if another call is renewing it.
    pub(crate) fn begin(&self, id: &CredentialId) -> Option<Renewal<'_>> {
        let is_first = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        is_first.then(|| Renewal { renewals: self, id: id.clone() })
    }
}

impl Drop for Renewal<'_> {
    fn drop(&mut self) {
        self.renewals.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_renews() {
        let renewals = Renewals::default();
        let id = CredentialId::parse(&"0".repeat(32)).expect("id");
        let first = renewals.begin(&id);
        assert!(first.is_some() && renewals.begin(&id).is_none());
        drop(first);
        assert!(renewals.begin(&id).is_some());
    }
}
