//! The pages for people: signing in and out, and the user's own tickets (CONTRACT 27, 29).
//!
//! Invariant: the pages need no scripts, and their policy blocks every script. A form of a signed-in person counts
//! only with the XSRF value of the session.

mod form;
mod page;
mod session;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError as _,
    http::{
        StatusCode,
        header::{LOCATION, WWW_AUTHENTICATE},
    },
    web::{Data, Payload},
};
use model::{CredentialId, CredentialKind, Login, Principal, SecretText, TenantId};
use store::StoreError;
use utoipa::ToSchema;

use self::{
    form::read_form,
    page::{AccountPage, SignInPage, Ticket, Words},
    session::{SignedIn, begin_session, refuse_without_sessions, remove_cookies, set_cookies},
};
use crate::{
    http::{
        extract::{HeldBody, refuse_other_sites},
        mount::Mount,
        pages::{Frame, html},
        paths::{ACCOUNT, ACCOUNT_TICKETS, ACCOUNT_TICKETS_REVOKE, SIGN_IN, SIGN_OUT},
        preferences::locale,
        problem::Problem,
    },
    state::App,
};

/// The maximum number of tickets on the page, the newest first.
const SHOWN_TICKETS: i64 = 100;
/// The form field with the value of the cookie of the same name.
const XSRF_FIELD: &str = "XSRF_TOKEN";

/// The login and password of a person.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
#[schema(example = json!({"login": "tje0", "password": "Tje0"}))]
pub(crate) struct SignIn {
    login: String,
    #[schema(format = Password)]
    password: String,
}

/// The form of the account page.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
pub(crate) struct SessionForm {
    /// The value that belongs to the session.
    #[schema(rename = "XSRF_TOKEN")]
    xsrf_token: String,
}

/// The form next to a ticket.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
pub(crate) struct TicketForm {
    /// The value that belongs to the session.
    #[schema(rename = "XSRF_TOKEN")]
    xsrf_token: String,
    /// The id of the ticket to revoke.
    id: String,
}

/// `GET /sign-in`: shows the form.
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
    description = "Begins a session and redirects to the account page.",
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
    description = "Ends the session and redirects to the form to sign in.",
    tag = "Pages",
    security((), ("Session" = [])),
    request_body(content = SessionForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "To the form to sign in. The session has ended"))
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
        remove_cookies(&app, &request, &mut answer);
        Ok(answer.finish())
    })
    .await
}

/// `GET /account`: shows the signed-in person and the tickets.
#[utoipa::path(
    get,
    path = ACCOUNT,
    operation_id = "Account",
    summary = "SR_ACCOUNT_PAGE",
    description = "The account page. Redirects to the form to sign in if there is no session.",
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

/// `POST /account/tickets`: issues a ticket, which only the page in the answer shows.
#[utoipa::path(
    post,
    path = ACCOUNT_TICKETS,
    operation_id = "IssueTicket",
    summary = "SR_NEW_TICKET",
    description = "Issues a ticket, which only the page in the answer shows.",
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

/// `POST /account/tickets/revoke`: revokes one of the person's own tickets.
#[utoipa::path(
    post,
    path = ACCOUNT_TICKETS_REVOKE,
    operation_id = "RevokeTicket",
    summary = "SR_REVOKE_TICKET",
    description = "Revokes a ticket of the signed-in person. A ticket that has already ended is no error.",
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

impl SignedIn {
    /// Answers the account page, with a ticket that was just issued.
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

/// Runs the action of a form if a person is signed in and the form belongs to the session. Otherwise redirects to the
/// form to sign in.
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

/// Revokes a credential. A credential that has already ended is no error.
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

/// Answers the form to sign in, with the reason why it is shown again.
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
        // For a Basic challenge, a browser would open a dialog of its own.
        answer.insert_header((WWW_AUTHENTICATE, r#"Session realm="Latchkey""#));
    }
    if let Some((name, value)) = problem.header() {
        answer.insert_header((name.clone(), value.clone()));
    }
    html(answer, &page)
}

/// Redirects to another page, by GET.
fn to(request: &HttpRequest, path: &str) -> HttpResponseBuilder {
    let mut answer = HttpResponse::SeeOther();
    answer.insert_header((LOCATION, format!("{}{path}", Mount::of(request).base)));
    answer
}
