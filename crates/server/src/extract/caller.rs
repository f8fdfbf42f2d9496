//! Who is calling: collects what `auth` needs, and asks it.
//!
//! Invariant: a principal is made only from a row that was read for this call, so that a disabled
//! user or a changed password counts at once.

use std::{sync::Arc, time::Instant};

use actix_web::{
    http::header::{AUTHORIZATION, HeaderMap},
    web::Data,
};
use auth::{AuthError, BasicCredentials};
use model::{Principal, TenantId, User};
use tracing::info;

use crate::{app::App, problem::Problem};

/// The caller that the headers prove.
///
/// # Errors
/// 401 with a challenge, the same and after the same work for an unknown user, a wrong password and a
/// disabled user; 400 for two `Authorization` headers.
pub(crate) async fn authenticate(
    app: &Data<App>,
    tenant: &TenantId,
    headers: &HeaderMap,
) -> Result<Principal, Problem> {
    let mut credentials = headers.get_all(AUTHORIZATION);
    let header = credentials.next().ok_or(AuthError::Missing)?;
    if credentials.next().is_some() {
        return Err(Problem::many_headers("Authorization"));
    }
    basic_login(app, tenant, BasicCredentials::parse(header.as_bytes())?).await
}

async fn basic_login(
    app: &Data<App>,
    tenant: &TenantId,
    BasicCredentials { login, password }: BasicCredentials,
) -> Result<Principal, Problem> {
    let user = app.store.user(tenant, &login).await?.filter(|user| !user.is_disabled);
    if let Some(user) = &user
        && app.verified_logins.contains(user, &password, Instant::now())
    {
        return Ok(principal(user));
    }
    let permit = Arc::clone(&app.hashing)
        .acquire_owned()
        .await
        .map_err(|closed| Problem::internal(&closed))?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let tried = password.clone();
    let is_right = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        auth::verify(&tried, hash.as_ref())
    })
    .await
    .map_err(|panicked| Problem::internal(&panicked))?;
    match user {
        Some(user) if is_right => {
            app.verified_logins.remember(&user, &password, Instant::now());
            info!(user.login = user.login.as_str(), "password verified");
            Ok(principal(&user))
        }
        _ => Err(AuthError::Refused.into()),
    }
}

fn principal(user: &User) -> Principal {
    Principal {
        tenant: user.tenant.clone(),
        login: user.login.clone(),
        is_administrator: user.is_administrator,
    }
}
