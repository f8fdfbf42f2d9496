//! An authenticated request without a body.
//!
//! Invariant: the caller is authenticated before any other part of the request is checked.

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use super::{Extracted, app, credentials::authenticate};
use crate::{
    callers::authenticate::Caller,
    http::{preferences::Preferences, problem::Problem},
};

/// The caller, and the form of the answer.
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
            let caller = authenticate(&app, &request).await?;
            let preferences = Preferences::of(&request, &app.base_time_zone)?;
            Ok(Self { caller, preferences })
        })
    }
}
