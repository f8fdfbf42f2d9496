//! The pages of people: signing in and out, and tickets of one's own (CONTRACT 27, 29).
//!
//! Invariant: the pages need no scripts, and their policy lets none run. A form is read only from this
//! site, and, once somebody is signed in, only with the value that belongs to the session. Signing in
//! always makes a new session.

mod page;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError as _,
    cookie::{Cookie, SameSite},
    http::{
        StatusCode,
        header::{LOCATION, ORIGIN, WWW_AUTHENTICATE},
    },
    web::{Data, Payload},
};
use auth::{AuthError, BasicCredentials, Presented, Scheme};
use jiff::Timestamp;
use model::{CredentialId, CredentialKind, Login, Principal, SecretText, TenantId};
use negotiate::body::Body;
use store::StoreError;
use utoipa::ToSchema;

use self::page::{AccountPage, SignInPage, Ticket, Words};
use crate::{
    callers::authenticate::Caller,
    config::Limits,
    http::{
        client::{self, PublicOrigin},
        extract::{self, HeldBody},
        mount::{Mount, Paths},
        pages::{Frame, html},
        paths::{ACCOUNT, ACCOUNT_TICKETS, ACCOUNT_TICKETS_REVOKE, SIGN_IN, SIGN_OUT},
        preferences::locale,
        problem::{Problem, SEC_FETCH_SITE},
    },
    state::App,
};

/// The most bytes that a form may have.
const FORM_BYTES: usize = 16 * 1024;
/// The most tickets that the page lists, the newest first.
const SHOWN_TICKETS: i64 = 100;
/// Read by scripts, which send its value as `X-XSRF-TOKEN`.
const XSRF_COOKIE: &str = "XSRF-TOKEN";
/// The field of a form that has the same value.
const XSRF_FIELD: &str = "XSRF_TOKEN";

/// What a person signs in with.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
#[schema(example = json!({"login": "tje0", "password": "Tje0"}))]
pub(crate) struct SignIn {
    login: String,
    #[schema(format = Password)]
    password: String,
}

/// What a form of the account's page sends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
pub(crate) struct SessionForm {
    /// The value that belongs to the session.
    #[schema(rename = "XSRF_TOKEN")]
    xsrf_token: String,
}

/// What the form beside a ticket sends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
pub(crate) struct TicketForm {
    /// The value that belongs to the session.
    #[schema(rename = "XSRF_TOKEN")]
    xsrf_token: String,
    /// The id of the ticket to revoke.
    id: String,
}

/// `GET /sign-in`: the form.
#[utoipa::path(
    get,
    path = SIGN_IN,
    operation_id = "SignInPage",
    summary = "SR_SIGN_IN_PAGE",
    description = "The form to sign in, which needs no script.",
    tag = "Pages",
    security(()),
    responses((status = 200, description = "The form", content_type = "text/html", body = String))
)]
pub(crate) async fn sign_in_page(
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    refuse_without_sessions(&app, &request)?;
    sign_in_form(&request, None)
}

/// `POST /sign-in`: begins a session.
#[utoipa::path(
    post,
    path = SIGN_IN,
    operation_id = "SignIn",
    summary = "SR_SIGN_IN",
    description = "Begins a session and leads to the account's page.",
    tag = "Pages",
    security(()),
    request_body(content = SignIn, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To the account, with the session's cookies"),
        (status = 401, description = "The form again, with the reason", content_type = "text/html", body = String)
    )
)]
pub(crate) async fn sign_in(
    request: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    refuse_without_sessions(&app, &request)?;
    refuse_other_sites(&app, &request)?;
    let body = read_form(&app, &request, payload).await?;
    match begin_session(&app, &request, &body).await {
        Ok(session) => {
            let mut answer = to(&request, ACCOUNT);
            set_cookies(&app, &request, &mut answer, &session);
            Ok(answer.finish())
        }
        Err(problem) if problem.status_code().is_client_error() => {
            sign_in_form(&request, Some(&problem))
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /sign-out`: ends the session.
#[utoipa::path(
    post,
    path = SIGN_OUT,
    operation_id = "SignOut",
    summary = "SR_SIGN_OUT",
    description = "Ends the session and leads to the form to sign in.",
    tag = "Pages",
    security((), ("Session" = [])),
    request_body(content = SessionForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To the form to sign in; there is no session any more"))
)]
pub(crate) async fn sign_out(
    request: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    on_form(&app, &request, payload, async |signed_in, _form| {
        let session = signed_in.session.id().clone();
        revoke(&app, CredentialKind::Session, session, None).await?;
        let mut answer = to(&request, SIGN_IN);
        for name in [client::session_cookie(&app, &request), XSRF_COOKIE] {
            let mut cookie = cookie(&app, &request, name, String::new());
            cookie.make_removal();
            answer.cookie(cookie);
        }
        Ok(answer.finish())
    })
    .await
}

/// `GET /account`: who is signed in, and the tickets.
#[utoipa::path(
    get,
    path = ACCOUNT,
    operation_id = "Account",
    summary = "SR_ACCOUNT_PAGE",
    description = "The account's page; leads to the form to sign in if there is no session.",
    tag = "Pages",
    security((), ("Session" = [])),
    responses(
        (status = 200, description = "The page", content_type = "text/html", body = String),
        (status = 303, description = "To the form to sign in")
    )
)]
pub(crate) async fn page(request: HttpRequest, app: Data<App>) -> Result<HttpResponse, Problem> {
    match SignedIn::of(&app, &request).await? {
        Some(signed_in) => signed_in.page(&app, &request, None).await,
        None => Ok(to(&request, SIGN_IN).finish()),
    }
}

/// `POST /account/tickets`: issues a ticket, which the page that answers shows once.
#[utoipa::path(
    post,
    path = ACCOUNT_TICKETS,
    operation_id = "IssueTicket",
    summary = "SR_NEW_TICKET",
    description = "Issues a ticket, which the page that answers shows once.",
    tag = "Pages",
    security((), ("Session" = [])),
    request_body(content = SessionForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The page", content_type = "text/html", body = String),
        (status = 303, description = "To the form to sign in, without a session")
    )
)]
pub(crate) async fn issue_ticket(
    request: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    on_form(&app, &request, payload, async |signed_in, _form| {
        let ticket = app.authenticator.issue_ticket(&signed_in.caller).await?;
        signed_in.page(&app, &request, Some(ticket.text())).await
    })
    .await
}

/// `POST /account/tickets/revoke`: ends a ticket of one's own.
#[utoipa::path(
    post,
    path = ACCOUNT_TICKETS_REVOKE,
    operation_id = "RevokeTicket",
    summary = "SR_REVOKE_TICKET",
    description = "Ends a ticket of the person who is signed in; one that is over already is no error.",
    tag = "Pages",
    security((), ("Session" = [])),
    request_body(content = TicketForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To the account, or without a session to the form to sign in"))
)]
pub(crate) async fn revoke_ticket(
    request: HttpRequest,
    payload: Payload,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    on_form(&app, &request, payload, async |signed_in, form| {
        let id = form.root()?.string("id")?.and_then(|id| CredentialId::parse(id).ok());
        let id = id.ok_or_else(|| Problem::required("id"))?;
        let Principal { tenant, login, .. } = signed_in.caller.principal;
        revoke(&app, CredentialKind::Ticket, id, Some((tenant, login))).await?;
        Ok(to(&request, ACCOUNT).finish())
    })
    .await
}

/// Somebody whose browser has a session that lives.
struct SignedIn {
    session: Presented,
    caller: Caller,
}

impl SignedIn {
    /// Who is signed in; nobody if the session is over, or of another tenant.
    async fn of(app: &App, request: &HttpRequest) -> Result<Option<Self>, Problem> {
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

    async fn page(
        &self,
        app: &App,
        request: &HttpRequest,
        ticket: Option<SecretText>,
    ) -> Result<HttpResponse, Problem> {
        let Principal { tenant, login, .. } = &self.caller.principal;
        let (of_tenant, of_login) = (Some(tenant.clone()), Some(login.clone()));
        let kind = CredentialKind::Ticket;
        let tickets = app.store.credentials(kind, of_tenant, of_login, SHOWN_TICKETS).await?;
        let locale = locale(request.headers());
        let page = AccountPage {
            base: Mount::of(request).base,
            login: login.clone(),
            tenant: tenant.to_string(),
            xsrf_token: self.session.xsrf_token(),
            ticket,
            tickets: tickets.iter().map(|ticket| Ticket::of(ticket, app, &locale)).collect(),
            frame: Frame::of(request, locale.as_ref()),
            words: Words::of(locale.as_ref()),
        };
        let mut answer = HttpResponse::Ok();
        set_cookies(app, request, &mut answer, &self.session);
        html(answer, &page)
    }
}

/// Does what a form asks for, if it is of somebody who is signed in, and belongs to the session; leads to
/// the form to sign in if not.
async fn on_form(
    app: &App,
    request: &HttpRequest,
    payload: Payload,
    act: impl AsyncFnOnce(SignedIn, HeldBody) -> Result<HttpResponse, Problem>,
) -> Result<HttpResponse, Problem> {
    refuse_other_sites(app, request)?;
    let Some(signed_in) = SignedIn::of(app, request).await? else {
        return Ok(to(request, SIGN_IN).finish());
    };
    let form = read_form(app, request, payload).await?;
    let value = form.root()?.string(XSRF_FIELD)?.map(str::as_bytes);
    match signed_in.session.check_xsrf(value) {
        Ok(()) => act(signed_in, form).await,
        Err(error) => sign_in_form(request, Some(&error.into())),
    }
}

async fn begin_session(
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

/// The living session of the browser that signs in. A caller that has the id without the secret ends nothing.
async fn former_session(app: &App, request: &HttpRequest) -> Result<Option<CredentialId>, Problem> {
    let Some(Ok(former)) = extract::session(app, request) else { return Ok(None) };
    let caller = app.authenticator.by_credential(&former, Scheme::Session).await;
    match caller.map_err(Problem::from) {
        Ok(_caller) => Ok(Some(former.id().clone())),
        Err(problem) if problem.status_code() == StatusCode::UNAUTHORIZED => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// Ends a credential; that it is over already is no error.
async fn revoke(
    app: &App,
    kind: CredentialKind,
    id: CredentialId,
    owner: Option<(TenantId, Login)>,
) -> Result<(), Problem> {
    match app.store.revoke_credential(kind, id, owner).await {
        Err(StoreError::NotFound(_)) => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// Where sessions are off there are no pages.
fn refuse_without_sessions(app: &App, request: &HttpRequest) -> Result<(), Problem> {
    if app.authenticator.policy.is_on(Scheme::Session) {
        return Ok(());
    }
    let paths = request.app_data::<Data<Paths>>();
    Err(Problem::no_such_path(paths.map(|paths| paths.index(request)).unwrap_or_default()))
}

/// The body of a form, which is short.
async fn read_form(
    app: &App,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HeldBody, Problem> {
    let limits = Limits { body_bytes: FORM_BYTES.min(app.limits.body_bytes), ..app.limits };
    extract::read_body(request, payload, limits).await
}

/// Refuses a form that a browser says comes from another site; so nobody is signed in or out by one.
fn refuse_other_sites(app: &App, request: &HttpRequest) -> Result<(), Problem> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_own = match (header(SEC_FETCH_SITE), header(ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => PublicOrigin::of(request, app).is_origin(origin),
        (None, None) => true,
    };
    if is_own { Ok(()) } else { Err(Problem::other_site()) }
}

/// The form to sign in, and why it is shown again.
fn sign_in_form(request: &HttpRequest, problem: Option<&Problem>) -> Result<HttpResponse, Problem> {
    let locale = locale(request.headers());
    let page = SignInPage {
        base: Mount::of(request).base,
        refusal: problem.map(|problem| problem.in_words(locale.as_ref())),
        frame: Frame::of(request, locale.as_ref()),
        words: Words::of(locale.as_ref()),
    };
    let Some(problem) = problem else { return html(HttpResponse::Ok(), &page) };
    problem.note_for_log(request);
    let mut answer = HttpResponse::build(problem.status_code());
    if problem.status_code() == StatusCode::UNAUTHORIZED {
        // Of Basic a browser would make a dialog of its own.
        answer.insert_header((WWW_AUTHENTICATE, r#"Session realm="Latchkey""#));
    }
    if let Some((name, value)) = problem.header() {
        answer.insert_header((name.clone(), value.clone()));
    }
    html(answer, &page)
}

/// To another page, by GET.
fn to(request: &HttpRequest, path: &str) -> HttpResponseBuilder {
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((LOCATION, format!("{}{path}", Mount::of(request).base)));
    answer
}

fn set_cookies(
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

fn cookie(app: &App, request: &HttpRequest, name: &'static str, value: String) -> Cookie<'static> {
    let cookie = Cookie::build(name, value).path("/").same_site(SameSite::Lax);
    cookie.secure(client::is_secure(app, request)).finish()
}
