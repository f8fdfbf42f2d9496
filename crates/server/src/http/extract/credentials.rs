//! The credentials in the head of a request.
//!
//! Invariant: it only collects; `callers` decides what they are worth.

use actix_web::{
    HttpRequest,
    http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName},
};
use auth::{AuthError, BasicEncoding, Presented};

use crate::{
    callers::authenticate::{Caller, RequestCredentials},
    http::{
        client,
        mount::Mount,
        paths::is_oauth,
        problem::Problem,
        secret_headers::{SO_APP_TOKEN, X_XSRF_TOKEN, secret_headers},
    },
    state::App,
};

/// The caller that a request proves, with its application.
///
/// # Errors
/// 400 for two credentials; 401 for none, or for one that is not valid; 403 for one of another tenant, or for an
/// application that may not act for this one; 429 after too many failures; 503 if passwords or keys of the issuer
/// take too long.
pub(super) async fn authenticate(app: &App, request: &HttpRequest) -> Result<Caller, Problem> {
    let headers = secret_headers(request);
    let credentials = credentials(app, request, &headers);
    let tenant = Mount::of(request).tenant;
    let caller = app.authenticator.authenticate(&tenant, &credentials).await?;
    Ok(app.authenticator.with_application(caller, &credentials, None).await?)
}

/// As `authenticate`, before it is known which application is calling.
pub(super) async fn authenticate_without_application(
    app: &App,
    request: &HttpRequest,
) -> Result<Caller, Problem> {
    let headers = secret_headers(request);
    let credentials = credentials(app, request, &headers);
    let tenant = Mount::of(request).tenant;
    Ok(app.authenticator.authenticate(&tenant, &credentials).await?)
}

/// The same caller with its application, which a body may name as well as the header does.
///
/// # Errors
/// 400 for a body that names another than the header; 401 for an application that is missing or unknown; 403 for
/// one that may not act for this tenant.
pub(super) async fn with_application(
    app: &App,
    request: &HttpRequest,
    caller: Caller,
    in_body: Option<&str>,
) -> Result<Caller, Problem> {
    let headers = secret_headers(request);
    let credentials = credentials(app, request, &headers);
    Ok(app.authenticator.with_application(caller, &credentials, in_body).await?)
}

/// The credentials in the secret headers of a request.
pub(crate) fn credentials<'a>(
    app: &App,
    request: &HttpRequest,
    headers: &'a HeaderMap,
) -> RequestCredentials<'a> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.as_bytes());
    let authorization = value(AUTHORIZATION);
    // A cookie counts only without `Authorization`, and the address only with it.
    let (session_cookies, address) = match authorization {
        Some(_) => (Vec::new(), client::client_address(app, request)),
        None => (session_cookies(app, request, headers), None),
    };
    let basic_encoding =
        if is_oauth(request.path()) { BasicEncoding::Form } else { BasicEncoding::Plain };
    RequestCredentials {
        authorization,
        basic_encoding,
        session_cookies,
        xsrf_token: value(X_XSRF_TOKEN),
        application_token: value(SO_APP_TOKEN),
        address,
    }
}

/// The session that a browser has a cookie of; `None` without one, or if sessions are off.
pub(crate) fn session(app: &App, request: &HttpRequest) -> Option<Result<Presented, AuthError>> {
    let headers = secret_headers(request);
    app.authenticator.session(&session_cookies(app, request, &headers))
}

fn session_cookies<'a>(app: &App, request: &HttpRequest, headers: &'a HeaderMap) -> Vec<&'a str> {
    if !headers.contains_key(COOKIE) {
        return Vec::new();
    }
    // Each cookie by itself: one that cannot be read must not hide the others.
    let lines = headers.get_all(COOKIE).map(|line| line.as_bytes());
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    let name = client::session_cookie(app, request);
    let values = pairs.filter_map(|pair| {
        let pair = str::from_utf8(pair.trim_ascii()).ok()?;
        pair.strip_prefix(name)?.strip_prefix('=')
    });
    values.collect()
}
