//! What the pages look like.
//!
//! Invariant: everything that is shown is escaped, and the policy lets nothing be loaded and no script run.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY},
};
use askama::Template;
use jiff::Timestamp;
use model::{CredentialId, IssuedCredential, Login, SecretText};
use negotiate::neutral_date_time;

use crate::{
    app::App,
    problem::Problem,
    texts::{Text, Wording},
};

/// Nothing is loaded and nothing is run; the style stands in the page. Forms go to this site alone.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInPage {
    pub(super) base: String,
    /// Why it is shown again.
    pub(super) refusal: Option<String>,
    pub(super) words: Words,
}

#[derive(Template)]
#[template(path = "account.html")]
pub(super) struct AccountPage {
    pub(super) base: String,
    pub(super) login: Login,
    pub(super) tenant: String,
    pub(super) xsrf_token: SecretText,
    /// One that was just issued.
    pub(super) ticket: Option<SecretText>,
    pub(super) tickets: Vec<Ticket>,
    pub(super) words: Words,
}

/// A ticket, without what makes it work.
pub(super) struct Ticket {
    id: CredentialId,
    created: String,
    expires: String,
}

impl Ticket {
    pub(super) fn of(ticket: &IssuedCredential, app: &App, wording: &Option<Wording>) -> Self {
        let shown = |microseconds| {
            let moment = Timestamp::from_microsecond(microseconds).unwrap_or_default();
            let time = app.base_time_zone.at(moment);
            match wording {
                Some(wording) => wording.culture.date_time(&time, true),
                None => neutral_date_time(&time, true),
            }
        };
        Self {
            id: ticket.id.clone(),
            created: shown(ticket.created),
            expires: shown(ticket.expires),
        }
    }
}

/// Answers a page.
pub(super) fn html(
    mut answer: HttpResponseBuilder,
    page: &impl Template,
) -> Result<HttpResponse, Problem> {
    let html = page.render().map_err(|error| Problem::internal(&error))?;
    Ok(answer
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "same-origin"))
        .body(html))
}

/// The words of the pages.
pub(super) struct Words {
    /// ISO 639-1.
    language: &'static str,
    sign_in: String,
    sign_out: String,
    login: String,
    password: String,
    tenant: String,
    tickets: String,
    new_ticket: String,
    revoke: String,
    shown_once: String,
    id: String,
    created: String,
    expires: String,
}

impl Words {
    pub(super) fn of(wording: Option<&Wording>) -> Self {
        let text = |name| Text::new(name).in_words(wording);
        Self {
            language: wording.map_or("en", |wording| wording.language.iso()),
            sign_in: text("SR_SIGN_IN"),
            sign_out: text("SR_SIGN_OUT"),
            login: text("SR_LOGIN_NAME"),
            password: text("SR_PASSWORD"),
            tenant: text("SR_TENANT"),
            tickets: text("SR_TICKETS"),
            new_ticket: text("SR_NEW_TICKET"),
            revoke: text("SR_REVOKE_TICKET"),
            shown_once: text("SR_TICKET_SHOWN_ONCE"),
            id: text("SR_ID"),
            created: text("SR_CREATED"),
            expires: text("SR_EXPIRES"),
        }
    }
}
