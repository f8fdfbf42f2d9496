//! The first user of a new database, and the rules about the sample login.
//!
//! Invariant: the sample login, whose password everybody knows, never lets anybody in where other
//! machines can reach the server.

use std::io::{self, Write as _};

use anyhow::{Context as _, bail};
use auth::{HashMemory, Password};
use model::{Login, TenantId, User};
use store::{Database, Store, StoreError};

use crate::config::Config;

/// The login and the password of the documented sample (CONTRACT 2).
pub(crate) const SAMPLE: (&str, &str) = ("tje0", "Tje0");

/// Refuses a new database whose first user would be the sample login where it is not allowed; to be
/// called before anything is made.
pub(crate) fn check(config: &Config, database: &Database) -> anyhow::Result<()> {
    if config.is_development() && !database.exists() {
        refuse_exposed_sample(config)
    } else {
        Ok(())
    }
}

/// Makes the first user if there is none, and says who it is; whether the sample login works.
///
/// # Errors
/// When the sample login would work, or works, where it is not allowed; nothing is changed then.
pub(crate) async fn ensure(store: &Store, config: &Config) -> anyhow::Result<bool> {
    let tenant = TenantId::single();
    let (sample_login, sample_password) = (Login::parse(SAMPLE.0)?, Password::from(SAMPLE.1));
    if !store.has_no_users().await? {
        let sample = store.user(&tenant, &sample_login).await?.filter(|user| !user.is_disabled);
        let works = sample.is_some_and(|user| {
            auth::verify(&sample_password, Some(&user.password_hash), &mut HashMemory::default())
        });
        if works {
            refuse_exposed_sample(config)?;
        }
        return Ok(works);
    }
    let (login, password) = if config.is_development() {
        refuse_exposed_sample(config)?;
        (sample_login, sample_password)
    } else {
        let (login, password) = (Login::parse("admin")?, Password::generate());
        // Before the user is saved: a password that nobody could read would lock everybody out.
        let mut out = io::stdout().lock();
        writeln!(out, "First user: {login}, password: {}", password.expose())?;
        writeln!(out, "The password is shown only this once.")?;
        out.flush().context("cannot show the first user's password")?;
        (login, password)
    };
    let user = User {
        tenant,
        login,
        password_hash: auth::hash(&password),
        is_administrator: true,
        is_disabled: false,
        version: 1,
    };
    match store.add_user(user).await {
        Err(StoreError::Conflict(_)) if !config.is_development() => {
            writeln!(io::stdout(), "Another server was faster: the password that it shows holds.")?;
        }
        Err(StoreError::Conflict(_)) => {}
        added => added?,
    }
    Ok(config.is_development())
}

fn refuse_exposed_sample(config: &Config) -> anyhow::Result<()> {
    if config.is_exposed() {
        bail!(
            "with server.listen = \"{}\" and server.behind_proxy = {} others can reach this server, \
             and the sample login {} would let everybody in; listen on 127.0.0.1 without a proxy, or \
             start with a profile other than development and a data_directory without that login",
            config.server.listen,
            config.server.behind_proxy,
            SAMPLE.0
        );
    }
    Ok(())
}
