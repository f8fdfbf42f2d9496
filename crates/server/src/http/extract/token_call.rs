//! A call of the token endpoint (CONTRACT O18).
//!
//! Invariant: a caller has exactly one login: in the head, which is checked before the form, or in the form.

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::AUTHORIZATION, web};
use auth::{AuthError, BasicCredentials};
use model::Login;
use negotiate::body::Fields;

use super::{
    Extracted,
    agent_call::{admit_to_agents, extract},
    body::{HeldFields, form_limits, read_fields},
    credentials::{authenticate, session, with_application},
    own_site::refuse_other_sites,
};
use crate::{
    callers::authenticate::Caller,
    http::{client, mount::Mount, problem::Problem, secret_headers::secret_headers},
    state::App,
};

const CLIENT_ID: &str = "client_id";
const CLIENT_SECRET: &str = "client_secret";

/// An authenticated call of the token endpoint, with its form.
pub(crate) struct TokenCall {
    pub(crate) caller: Caller,
    pub(crate) fields: HeldFields,
}

impl FromRequest for TokenCall {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        extract(request, payload, async |app, request, payload| {
            if !has_login(&app, &request) {
                refuse_other_sites(&app, &request)?;
                let fields = read_form(&app, &request, payload).await?;
                let caller = by_secret(&app, &request, &fields).await?;
                admit_to_agents(&app, &caller)?;
                return Ok(Self { caller, fields });
            }
            let caller = authenticate(&app, &request).await?;
            admit_to_agents(&app, &caller)?;
            let fields = read_form(&app, &request, payload).await?;
            fields.get(CLIENT_ID)?;
            if fields.has(CLIENT_SECRET) {
                return Err(Problem::not_both("Authorization", CLIENT_SECRET));
            }
            Ok(Self { caller, fields })
        })
    }
}

/// Returns whether the head of a request has a login, valid or not.
fn has_login(app: &App, request: &HttpRequest) -> bool {
    secret_headers(request).contains_key(AUTHORIZATION) || session(app, request).is_some()
}

async fn read_form(
    app: &App,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HeldFields, Problem> {
    read_fields(request, payload, form_limits(app.limits)).await
}

/// Authenticates the caller by login and password in the form (RFC 6749 §2.3.1, `client_secret_post`).
async fn by_secret(app: &App, request: &HttpRequest, fields: &Fields) -> Result<Caller, Problem> {
    let (login, password) = (fields.get(CLIENT_ID)?, fields.get(CLIENT_SECRET)?);
    let (login, password) = login.zip(password).ok_or(AuthError::Missing)?;
    let login = Login::parse(login).map_err(|_no_user| AuthError::Refused)?;
    let credentials = BasicCredentials { login, password: password.into() };
    let (tenant, address) = (Mount::of(request).tenant, client::client_address(app, request));
    let caller = app.authenticator.by_password(&tenant, credentials, address).await?;
    with_application(app, request, caller, None).await
}
