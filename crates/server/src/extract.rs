//! A request's parts, as types.
//!
//! Invariant: the body is not looked at before the caller is known.

mod body;
mod caller;
pub(crate) mod preferences;

use std::pin::Pin;

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use model::Principal;
use negotiate::body::Body;

use crate::{app::App, paths::Mount, problem::Problem};
pub(crate) use preferences::Preferences;

/// An authenticated call: who calls, how it is to be answered, and what with. A route without it has
/// no principal and no body.
pub(crate) struct Call {
    pub(crate) principal: Principal,
    pub(crate) preferences: Preferences,
    pub(crate) body: Body,
}

impl FromRequest for Call {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let payload = web::Payload::from_request(&request, payload);
        Box::pin(async move {
            let app =
                request.app_data::<web::Data<App>>().expect("the app is set up with its state");
            let payload = payload.await.expect("taking the payload does not fail");
            let tenant = Mount::of(&request).tenant;
            let principal = caller::authenticate(app, &tenant, request.headers()).await?;
            let preferences = Preferences::of(&request, &app.base_time_zone)?;
            let body = body::read(request.headers(), payload, app.limits).await?;
            Ok(Self { principal, preferences, body })
        })
    }
}
