//! The contents of the pages for signing in and for the account.
//!
//! Invariant: a secret is shown only on the page that answers the request which made it.

use askama::Template;
use jiff::Timestamp;
use model::{CredentialId, IssuedCredential, Login, SecretText};
use negotiate::neutral_date_time;

use crate::{
    http::pages::Frame,
    state::App,
    texts::{Locale, Message},
};

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(super) struct SignInPage {
    pub(super) base: String,
    /// The reason why the form is shown again.
    pub(super) refusal: Option<String>,
    pub(super) frame: Frame,
    pub(super) words: Words,
}

#[derive(Template)]
#[template(path = "account.html")]
pub(super) struct AccountPage {
    pub(super) base: String,
    pub(super) login: Login,
    pub(super) tenant: String,
    pub(super) xsrf_token: SecretText,
    /// A ticket that was just issued.
    pub(super) ticket: Option<SecretText>,
    pub(super) tickets: Vec<Ticket>,
    pub(super) frame: Frame,
    pub(super) words: Words,
}

/// A ticket, without its secret.
pub(super) struct Ticket {
    id: CredentialId,
    created: String,
    expires: String,
}

impl Ticket {
    pub(super) fn of(ticket: &IssuedCredential, app: &App, locale: &Option<Locale>) -> Self {
        let shown = |microseconds| {
            let moment = Timestamp::from_microsecond(microseconds).unwrap_or_default();
            let time = app.base_time_zone.at(moment);
            match locale {
                Some(locale) => locale.culture.date_time(&time, true),
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

/// The texts of the pages.
pub(super) struct Words {
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
    pub(super) fn of(locale: Option<&Locale>) -> Self {
        let text = |name| Message::new(name).in_words(locale);
        Self {
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
