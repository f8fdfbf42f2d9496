//! The first user of a new database, and the rules about the sample login.
//!
//! Invariant: the sample login, whose password is public, never works on a server that other machines can reach.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, anyhow, bail};
use auth::{HashMemory, Password};
use model::{Login, TenantId, User};
use store::{Database, Store, StoreError, secret_file};
use tracing::info;

use crate::config::Config;

/// The login and the password of the documented sample (CONTRACT 2).
pub(crate) const SAMPLE: (&str, &str) = ("tje0", "Tje0");

/// Returns whether a new database gets the sample login.
fn makes_sample(config: &Config) -> bool {
    config.is_development() && config.first_user.is_unset()
}

/// Reads the password in the first line of a file. It must be one that the user of this login may choose.
///
/// # Errors
/// The file cannot be read, or the password is weak; the message names the setting.
pub(crate) fn password_in(
    file: &Path,
    setting: &'static str,
    login: &Login,
) -> anyhow::Result<Password> {
    let bytes = secret_file::read(file, setting)?;
    let text = str::from_utf8(&bytes)
        .map_err(|_not_text| anyhow!("{setting} {} is not UTF-8", file.display()))?;
    let line = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    Password::choose(line, login)
        .with_context(|| format!("{setting}: the first line of {}", file.display()))
}

/// Rejects a new database whose first user would be the sample login if the sample login is not allowed. Call it before
/// anything is created.
pub(crate) fn check(config: &Config, database: &Database) -> anyhow::Result<()> {
    config.first_user.login()?;
    if makes_sample(config) && !database.exists() { refuse_exposed_sample(config) } else { Ok(()) }
}

/// Creates the first user if there is none, and prints its login. Returns whether the sample login works.
///
/// # Errors
/// The sample login works, or would work, and is not allowed; nothing is changed then.
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
    let (login, password) = if makes_sample(config) {
        refuse_exposed_sample(config)?;
        (sample_login, sample_password)
    } else if let Some(file) = &config.first_user.password_file {
        let login = config.first_user.login()?;
        let password = password_in(file, "first_user.password_file", &login)?;
        info!(user.login = %login, "the first user has the password of first_user.password_file");
        (login, password)
    } else {
        let (login, password) = (config.first_user.login()?, Password::generate());
        // Before the user is saved, because without the password no user could sign in.
        let mut out = io::stdout().lock();
        writeln!(out, "First user: {login}, password: {}", password.expose())?;
        writeln!(out, "The password is shown only this once.")?;
        out.flush().context("cannot show the first user's password")?;
        (login, password)
    };
    let is_shown = !makes_sample(config) && config.first_user.password_file.is_none();
    let user = User {
        tenant,
        login,
        password_hash: auth::hash(&password),
        is_administrator: true,
        is_disabled: false,
        version: 1,
    };
    match store.add_user(user).await {
        Err(StoreError::Conflict(_)) if is_shown => {
            writeln!(io::stdout(), "Another server was faster: the password that it shows holds.")?;
        }
        Err(StoreError::Conflict(_)) => {}
        added => added?,
    }
    Ok(makes_sample(config))
}

fn refuse_exposed_sample(config: &Config) -> anyhow::Result<()> {
    if config.server.is_exposed() {
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
