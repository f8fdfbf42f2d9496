//! The row of a ticket or a session, as commands show it.
//!
//! Invariant: it has no secret.

use model::IssuedCredential;
use serde::Serialize;

use super::output::moment;

/// A credential of a user.
#[derive(Serialize)]
pub(super) struct Row {
    id: String,
    tenant: String,
    login: String,
    created: String,
    expires: String,
}

impl Row {
    /// The heads of the columns.
    pub(super) const HEAD: [&str; 5] = ["ID", "TENANT", "LOGIN", "CREATED", "EXPIRES"];

    pub(super) fn of(credential: &IssuedCredential) -> Self {
        Self {
            id: credential.id.to_string(),
            tenant: credential.tenant.to_string(),
            login: credential.login.to_string(),
            created: moment(credential.created),
            expires: moment(credential.expires),
        }
    }

    pub(super) fn cells(&self) -> Vec<String> {
        [&self.id, &self.tenant, &self.login, &self.created, &self.expires]
            .map(String::clone)
            .to_vec()
    }
}
