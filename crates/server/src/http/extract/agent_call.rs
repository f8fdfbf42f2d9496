//! A call of an operation of an agent.
//!
//! Invariant: nothing of a request but its head is looked at before the caller is known, and the body only once
//! nothing else can refuse the call; but for the one operation whose body may name the application.

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    web::{self, Data},
};

use super::{
    Extracted, app,
    body::{HeldBody, read},
    credentials::{authenticate, authenticate_without_application, with_application},
};
use crate::{
    callers::authenticate::Caller,
    config::online::AgentAccessRule,
    http::{preferences::Preferences, problem::Problem},
    state::App,
};

/// An authenticated call of an operation of an agent, and what it is called with.
pub(crate) struct AgentCall {
    pub(crate) caller: Caller,
    pub(crate) preferences: Preferences,
    pub(crate) body: HeldBody,
}

impl FromRequest for AgentCall {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        extract(request, payload, async |app, request, payload| {
            let caller = authenticate(&app, &request).await?;
            admit_to_agents(&app, &caller)?;
            let preferences = Preferences::of(&request, &app.base_time_zone)?;
            let body = read(&request, payload, app.limits).await?;
            Ok(Self { caller, preferences, body })
        })
    }
}

/// An `AgentCall` whose body may name the application: `AppToken` counts as `SO-AppToken` does.
pub(crate) struct AgentCallWithAppToken(pub(crate) AgentCall);

impl FromRequest for AgentCallWithAppToken {
    type Error = Problem;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        extract(request, payload, async |app, request, payload| {
            let caller = authenticate_without_application(&app, &request).await?;
            let preferences = Preferences::of(&request, &app.base_time_zone)?;
            let body = read(&request, payload, app.limits).await?;
            let app_token = body.root()?.string("AppToken")?.map(str::trim);
            let app_token = app_token.filter(|token| !token.is_empty());
            let caller = with_application(&app, &request, caller, app_token).await?;
            admit_to_agents(&app, &caller)?;
            Ok(Self(AgentCall { caller, preferences, body }))
        })
    }
}

/// Extracts a type from a request and its body.
pub(super) fn extract<T: 'static>(
    request: &HttpRequest,
    payload: &mut Payload,
    work: impl AsyncFnOnce(Data<App>, HttpRequest, web::Payload) -> Result<T, Problem> + 'static,
) -> Extracted<T> {
    let request = request.clone();
    let payload = web::Payload::from_request(&request, payload);
    Box::pin(async move {
        let app = app(&request);
        let payload = payload.await.expect("taking the payload does not fail");
        work(app, request, payload).await
    })
}

/// Online the agents are closed to every caller that no rule admits (CONTRACT 31).
///
/// # Errors
/// 403 for a caller to whom they are closed.
pub(super) fn admit_to_agents(app: &App, caller: &Caller) -> Result<(), Problem> {
    let application = caller.application.as_ref().map(|application| &application.name);
    let admits = |rule: &AgentAccessRule| rule.admits(&caller.principal.tenant, application);
    if !app.authenticator.policy.is_online() || app.agent_access_rules.iter().any(admits) {
        Ok(())
    } else {
        Err(Problem::agent_is_closed())
    }
}
