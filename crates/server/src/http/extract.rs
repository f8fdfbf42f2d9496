//! Extractors: the parts of a request as types.
//!
//! Invariant: a handler that takes `Authenticated`, `AgentCall` or `TokenCall` has a principal. No other handler has
//! one.

mod agent_call;
mod authenticated;
mod body;
mod credentials;
mod idempotency_key;
mod own_site;
mod token_call;

use std::pin::Pin;

use actix_web::{HttpRequest, web};

use crate::{http::problem::Problem, state::App};
pub(crate) use agent_call::{AgentCall, AgentCallWithAppToken};
pub(crate) use authenticated::Authenticated;
pub(crate) use body::{BodyBudget, HeldBody, form_limits, read as read_body};
pub(crate) use credentials::{credentials, session};
pub(crate) use idempotency_key::idempotency_key;
pub(crate) use own_site::refuse_other_sites;
pub(crate) use token_call::TokenCall;

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

fn app(request: &HttpRequest) -> web::Data<App> {
    request.app_data::<web::Data<App>>().expect("the app is set up with its state").clone()
}
