//! Sessions of people: signing in, the session of a request, and cookies.
//!
//! Invariant: signing in always creates a new session, and ends the previous session of the browser.

use actix_web::{
    HttpRequest, HttpResponseBuilder, ResponseError as _,
    cookie::{Cookie, SameSite},
    http::StatusCode,
    web::Data,
};
use auth::{AuthError, BasicCredentials, Presented, Scheme};
use jiff::Timestamp;
use model::{CredentialId, CredentialKind, Login};
use negotiate::body::Body;

use crate::{
    callers::authenticate::Caller,
    http::{
        client, extract,
        mount::{Mount, Paths},
        problem::Problem,
    },
    state::App,
};

/// Read by scripts, which send its value as `X-XSRF-TOKEN`.
const XSRF_COOKIE: &str = "XSRF-TOKEN";

/// A person whose browser has a valid session.
pub(super) struct SignedIn {
    pub(super) session: Presented,
    pub(super) caller: Caller,
}

impl SignedIn {
    /// Returns the signed-in person, or `None` if the session has ended or is of another tenant.
    pub(super) async fn of(app: &App, request: &HttpRequest) -> Result<Option<Self>, Problem> {
        refuse_without_sessions(app, request)?;
        let Some(Ok(session)) = extract::session(app, request) else { return Ok(None) };
        let caller = app.authenticator.by_credential(&session, Scheme::Session).await;
        match caller.map_err(Problem::from) {
            Ok(caller) => {
                let is_here = caller.principal.tenant == Mount::of(request).tenant;
                Ok(is_here.then_some(Self { session, caller }))
            }
            Err(problem) if problem.status_code() == StatusCode::UNAUTHORIZED => Ok(None),
            Err(problem) => Err(problem),
        }
    }
}

/// Verifies the login of a form, and creates a session.
pub(super) async fn begin_session(
    app: &App,
    request: &HttpRequest,
    body: &Body,
) -> Result<Presented, Problem> {
    let root = body.root()?;
    let field = |name| root.string(name)?.ok_or_else(|| Problem::required(name));
    let (login, password) = (field("login")?, field("password")?);
    let login = Login::parse(login).map_err(|_no_user| AuthError::Refused)?;
    let credentials = BasicCredentials { login, password: password.into() };
    let (tenant, address) = (Mount::of(request).tenant, client::client_address(app, request));
    let user = app.authenticator.by_login(&tenant, credentials, address).await?;
    let former = former_session(app, request).await?;
    let session = Presented::generate(CredentialKind::Session, None);
    let now = Timestamp::now().as_microsecond();
    let issued = session.issue(&user, app.authenticator.session_lifetime, now);
    match former {
        Some(former) => app.store.replace_session(issued, former).await?,
        None => app.store.add_credential(issued).await?,
    }
    Ok(session)
}

/// Returns the valid session of the browser that signs in. A caller that knows the id but not the secret cannot end a
/// session.
async fn former_session(app: &App, request: &HttpRequest) -> Result<Option<CredentialId>, Problem> {
    let Some(Ok(former)) = extract::session(app, request) else { return Ok(None) };
    let caller = app.authenticator.by_credential(&former, Scheme::Session).await;
    match caller.map_err(Problem::from) {
        Ok(_caller) => Ok(Some(former.id().clone())),
        Err(problem) if problem.status_code() == StatusCode::UNAUTHORIZED => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Adds the cookies of a session to an answer.
pub(super) fn set_cookies(
    app: &App,
    request: &HttpRequest,
    answer: &mut HttpResponseBuilder,
    session: &Presented,
) {
    let text = session.text().expose().to_owned();
    let mut of_session = cookie(app, request, client::session_cookie(app, request), text);
    of_session.set_http_only(true);
    answer.cookie(of_session);
    let xsrf_token = session.xsrf_token().expose().to_owned();
    answer.cookie(cookie(app, request, XSRF_COOKIE, xsrf_token));
}

/// Removes the cookies of a session from the browser.
pub(super) fn remove_cookies(app: &App, request: &HttpRequest, answer: &mut HttpResponseBuilder) {
    for name in [client::session_cookie(app, request), XSRF_COOKIE] {
        let mut cookie = cookie(app, request, name, String::new());
        cookie.make_removal();
        answer.cookie(cookie);
    }
}

fn cookie(app: &App, request: &HttpRequest, name: &'static str, value: String) -> Cookie<'static> {
    let cookie = Cookie::build(name, value).path("/").same_site(SameSite::Lax);
    cookie.secure(client::is_secure(app, request)).finish()
}

/// Answers 404 if sessions are off, because then there are no pages.
pub(super) fn refuse_without_sessions(app: &App, request: &HttpRequest) -> Result<(), Problem> {
    if app.authenticator.policy.is_on(Scheme::Session) {
        return Ok(());
    }
    let paths = request.app_data::<Data<Paths>>();
    Err(Problem::no_such_path(paths.map(|paths| paths.index(request)).unwrap_or_default()))
}
