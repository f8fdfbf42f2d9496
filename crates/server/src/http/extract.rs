//! A request's parts, as types.
//!
//! Invariant: nothing of a request but its head is looked at before the caller is known.

mod body;
mod caller;
mod idempotency_key;

use std::pin::Pin;

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};

use crate::{
    http::{preferences::Preferences, problem::Problem},
    state::App,
};
pub(crate) use body::{Budget, HeldBody, read as read_body};
pub(crate) use caller::{Caller, access_token, by_credential, issue_ticket, session};
pub(crate) use idempotency_key::idempotency_key;

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// An authenticated request: who calls, and how it is to be answered. A route without it or `AgentCall` has
/// no principal.
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    pub(crate) preferences: Preferences,
}

impl FromRequest for Authenticated {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let app = app(&request);
            let caller = Caller::of(&app, &request).await?;
            let preferences = Preferences::of(&request, &app.base_time_zone)?;
            Ok(Self { caller, preferences })
        })
    }
}

/// An authenticated call of an operation of the User agent, and what it is called with.
pub(crate) struct AgentCall {
    pub(crate) caller: Caller,
    pub(crate) preferences: Preferences,
    pub(crate) body: HeldBody,
}

impl FromRequest for AgentCall {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = web::Payload::from_request(&request, payload);
        Box::pin(async move {
            let app = app(&request);
            let payload = payload.await.expect("taking the payload does not fail");
            let caller = Caller::of(&app, &request).await?;
            app.admit_to_user_agent(&caller)?;
            let preferences = Preferences::of(&request, &app.base_time_zone)?;
            let body = read_body(&app, &request, payload, app.limits).await?;
            Ok(Self { caller, preferences, body })
        })
    }
}

/// As `AgentCall`, of an operation whose body may name the application: `AppToken` counts as `SO-AppToken` does.
pub(crate) struct AgentCallWithAppToken(pub(crate) AgentCall);

impl FromRequest for AgentCallWithAppToken {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = web::Payload::from_request(&request, payload);
        Box::pin(async move {
            let app = app(&request);
            let payload = payload.await.expect("taking the payload does not fail");
            let caller = Caller::known(&app, &request).await?;
            let preferences = Preferences::of(&request, &app.base_time_zone)?;
            let body = read_body(&app, &request, payload, app.limits).await?;
            let app_token = body.root()?.string("AppToken")?.map(str::trim);
            let app_token = app_token.filter(|token| !token.is_empty());
            let caller = caller.with_application(&app, &request, app_token).await?;
            app.admit_to_user_agent(&caller)?;
            Ok(Self(AgentCall { caller, preferences, body }))
        })
    }
}

fn app(request: &HttpRequest) -> web::Data<App> {
    request.app_data::<web::Data<App>>().expect("the app is set up with its state").clone()
}
