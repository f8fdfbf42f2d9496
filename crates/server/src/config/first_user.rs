//! `first_user`: the first user of a new database.
//!
//! Invariant: the password is read from a file, and is never a setting itself.

use std::path::PathBuf;

use anyhow::Context as _;
use model::Login;
use serde::{Deserialize, Serialize};

/// The first user, unless it is the sample login or one with a generated password.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstUser {
    pub(crate) login: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
}

impl FirstUser {
    /// Whether neither setting is there.
    pub(crate) fn is_unset(&self) -> bool {
        self.login.is_none() && self.password_file.is_none()
    }

    /// The login; `admin` unless the setting has another.
    ///
    /// # Errors
    /// The setting is not a valid login.
    pub(crate) fn login(&self) -> anyhow::Result<Login> {
        let login = self.login.as_deref().unwrap_or("admin");
        Login::parse(login).context("first_user.login is not a valid login")
    }
}
