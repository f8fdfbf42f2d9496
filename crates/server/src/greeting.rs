//! The text that a start prints.
//!
//! Invariant: the only password in it is that of the sample login, which is public.

use std::io::{self, Write as _};

use auth::Scheme;

use crate::{
    config::Config,
    first_user::SAMPLE,
    http::paths::{SAVE_EXTERNAL_TOKENS, SIGN_IN},
};

/// Prints the server's address, and how to use it.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn greet(config: &Config, url: &str, sample_works: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Latchkey is running on {url}")?;
    writeln!(out, "Database: {}, master key: {}", config.database()?, config.place_of_keys())?;
    let policy = config.policy();
    if sample_works {
        let (login, password) = SAMPLE;
        writeln!(out, "User: {login}, password: {password} (the sample login, for development)")?;
    }
    if sample_works && policy.is_on(Scheme::Basic) && !policy.is_online() {
        let (login, password) = SAMPLE;
        let trust = match &config.server.tls {
            Some(tls) => format!("--cacert {} ", tls.certificate.display()),
            None => String::new(),
        };
        writeln!(out, "Save tokens and get a key back:")?;
        writeln!(
            out,
            "curl {trust}-u {login}:{password} -H 'Content-Type: application/json' \
             -d '{{\"TokenManagementInfo\":{{\"Provider\":\"et\",\"AccessToken\":\"fugit\",\
             \"RefreshToken\":\"odit\"}}}}' \
             {url}{SAVE_EXTERNAL_TOKENS}"
        )?;
    }
    if policy.is_online() && config.online.agent_access_rules(None)?.is_empty() {
        writeln!(out, "The User agent is closed; online.user_agent opens it")?;
    }
    if policy.is_on(Scheme::Session) {
        writeln!(out, "People sign in at {url}{SIGN_IN}")?;
    }
    writeln!(out)?;
    Ok(out.flush()?)
}
