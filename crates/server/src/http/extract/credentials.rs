//! The credentials in the head of a request.
//!
//! Invariant: this file only collects them; `callers` verifies them.

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

/// Authenticates the caller of a request, with its application.
///
/// # Errors
/// - 400: there are two credentials.
/// - 401: there is none, or it is not valid.
/// - 403: it is of another tenant, or the application may not act for this tenant.
/// - 429: there were too many failures.
/// - 503: passwords or keys of the issuer take too long.
pub(super) async fn authenticate(app: &App, request: &HttpRequest) -> Result<Caller, Problem> {
    let headers = secret_headers(request);
    let credentials = credentials(app, request, &headers);
    let tenant = Mount::of(request).tenant;
    let caller = app.authenticator.authenticate(&tenant, &credentials).await?;
    Ok(app.authenticator.with_application(caller, &credentials, None).await?)
}

/// Like `authenticate`, without the application.
pub(super) async fn authenticate_without_application(
    app: &App,
    request: &HttpRequest,
) -> Result<Caller, Problem> {
    let headers = secret_headers(request);
    let credentials = credentials(app, request, &headers);
    let tenant = Mount::of(request).tenant;
    Ok(app.authenticator.authenticate(&tenant, &credentials).await?)
}

/// Adds the application to a caller. Both the header and the body may name it.
///
/// # Errors
/// - 400: the header and the body name different applications.
/// - 401: the application is missing or unknown.
/// - 403: it may not act for this tenant.
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

/// Returns the credentials in the secret headers of a request.
pub(crate) fn credentials<'a>(
    app: &App,
    request: &HttpRequest,
    headers: &'a HeaderMap,
) -> RequestCredentials<'a> {
    let value = |name: HeaderName| headers.get(name).map(|value| value.as_bytes());
    let authorization = value(AUTHORIZATION);
    // Cookies count only without `Authorization`, and the address only with it.
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

/// Returns the session of a browser's cookie. `None` without a cookie, or if sessions are off.
pub(crate) fn session(app: &App, request: &HttpRequest) -> Option<Result<Presented, AuthError>> {
    let headers = secret_headers(request);
    app.authenticator.session(&session_cookies(app, request, &headers))
}

fn session_cookies<'a>(app: &App, request: &HttpRequest, headers: &'a HeaderMap) -> Vec<&'a str> {
    if !headers.contains_key(COOKIE) {
        return Vec::new();
    }
    // Cookies are parsed one by one, so that an unreadable one does not hide the others.
    let lines = headers.get_all(COOKIE).map(|line| line.as_bytes());
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    let name = client::session_cookie(app, request);
    let values = pairs.filter_map(|pair| {
        let pair = str::from_utf8(pair.trim_ascii()).ok()?;
        pair.strip_prefix(name)?.strip_prefix('=')
    });
    values.collect()
}
