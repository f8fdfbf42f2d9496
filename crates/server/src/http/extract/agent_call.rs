//! A call of an operation of an agent.
//!
//! Invariant: before the caller is authenticated, only the head of a request is read. The body is read last, after
//! every other check. The one exception is the operation whose body may name the application.

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

/// An authenticated call of an operation of an agent, with its body.
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

/// An `AgentCall` whose body may name the application: `AppToken` has the effect of `SO-AppToken`.
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

/// Checks the caller's access to the agents. Online, they are open only to callers that a rule admits (CONTRACT 31).
///
/// # Errors
/// 403: no rule admits the caller.
pub(super) fn admit_to_agents(app: &App, caller: &Caller) -> Result<(), Problem> {
    let application = caller.application.as_ref().map(|application| &application.name);
    let admits = |rule: &AgentAccessRule| rule.admits(&caller.principal.tenant, application);
    if !app.authenticator.policy.is_online() || app.agent_access_rules.iter().any(admits) {
        Ok(())
    } else {
        Err(Problem::agent_is_closed())
    }
}
