//! The first user of a new database, and the rules about the sample login.
//!
//! Invariant: the sample login, whose password everybody knows, never lets anybody in over an
//! address that other machines can reach.

use anyhow::bail;
use auth::Password;
use model::{Login, TenantId, User};
use store::Store;

use crate::config::Config;

/// The login and the password of the documented sample (CONTRACT 2).
pub(crate) const SAMPLE: (&str, &str) = ("tje0", "Tje0");

/// Who can sign in, as far as the start should tell.
pub(crate) enum FirstUser {
    /// The sample login works.
    Sample,
    /// This user was made just now; the password is not known to anybody yet.
    Generated(Login, Password),
    /// There were users already.
    Existing,
}

/// Makes the first user if there is none.
///
/// # Errors
/// When the sample login would work, or works, on an exposed address; nothing is changed then.
pub(crate) async fn ensure(store: &Store, config: &Config) -> anyhow::Result<FirstUser> {
    let tenant = TenantId::single();
    let (sample_login, sample_password) = (Login::parse(SAMPLE.0)?, Password::from(SAMPLE.1));
    if store.has_no_users().await? {
        let (login, password) = if config.is_development() {
            refuse_exposed_sample(config)?;
            (sample_login, sample_password)
        } else {
            (Login::parse("admin")?, Password::generate())
        };
        let user = User {
            tenant,
            login: login.clone(),
            password_hash: auth::hash(&password),
            is_administrator: true,
            is_disabled: false,
        };
        store.add_user(user).await?;
        return Ok(match config.is_development() {
            true => FirstUser::Sample,
            false => FirstUser::Generated(login, password),
        });
    }
    let sample = store.user(&tenant, &sample_login).await?.filter(|user| !user.is_disabled);
    if sample.is_some_and(|user| auth::verify(&sample_password, Some(&user.password_hash))) {
        refuse_exposed_sample(config)?;
        return Ok(FirstUser::Sample);
    }
    Ok(FirstUser::Existing)
}

fn refuse_exposed_sample(config: &Config) -> anyhow::Result<()> {
    if config.is_exposed() {
        bail!(
            "server.listen = \"{}\" can be reached from other machines, where the sample login {} \
             would let everybody in; listen on 127.0.0.1, or start with a profile other than \
             development and a new data_directory",
            config.server.listen,
            SAMPLE.0
        );
    }
    Ok(())
}
