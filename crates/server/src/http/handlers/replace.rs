//! Putting other tokens under a key that is there (CONTRACT O14).
//!
//! Invariant: what cannot be saved cannot replace either.

use actix_web::{HttpResponse, web::Data};
use utoipa::ToSchema;

use super::{
    members::{EXAMPLE_KEY, carrier, checked_parameters, required_key, token_end},
    user_agent::CarrierToSave,
};
use crate::{
    grants::BroughtTokens,
    http::{
        answer, extract::AgentCall, paths::REPLACE_EXTERNAL_TOKENS, problem::Problem, request_log,
    },
    state::App,
};

const GENERATION: &str = "Generation";

/// `POST …/ExternalTokens/Replace`: puts other tokens in the place of those that the key retrieves; true if it
/// retrieves any.
///
/// For the owner and administrators. The provider must be the same. What came before is gone, the claims and the
/// refresh token too. With `Generation`, which `Describe` answers, only if the record has that one still.
#[utoipa::path(
    post,
    path = REPLACE_EXTERNAL_TOKENS,
    operation_id = "ReplaceExternalTokens",
    summary = "SR_REPLACE_EXTERNAL_TOKENS",
    tag = "External tokens",
    request_body(
        content = ReplaceExternalTokens,
        example = json!({"Key": EXAMPLE_KEY, "TokenManagementInfo": {
            "Provider": "et", "AccessToken": "fugit", "RefreshToken": "odit"
        }})
    ),
    responses((status = 200, description = "Whether there were living tokens", body = bool))
)]
pub(crate) async fn replace(call: AgentCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let root = call.body.root()?;
    let key = required_key(&root)?;
    let carrier = carrier(&call.body)?;
    carrier.check(app.limits.token_bytes)?;
    let generation = match root.integer(GENERATION)? {
        None => None,
        Some(number) => match i32::try_from(number) {
            Ok(number @ 1..) => Some(number),
            _ => return Err(Problem::out_of_range(GENERATION, 1, i32::MAX as u64, number)),
        },
    };
    let access_expires = token_end(&root, carrier.access_token.as_ref())?;
    let parameters = checked_parameters(&call, &app, &root, &carrier.provider)?;
    let brought = BroughtTokens { carrier, access_expires, parameters, generation };
    let was_replaced = match key {
        Some(key) => {
            let replaced = app.grants.replace(&call.caller.principal, &key, &brought).await;
            replaced.map_err(Problem::of_replace)?
        }
        None => false,
    };
    request_log::note_found(was_replaced);
    answer::write(&call.preferences, "boolean", &was_replaced)
}

/// What `Replace` takes.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct ReplaceExternalTokens {
    /// The key that `SaveExternalTokens` answered.
    #[schema(pattern = r"\S", format = "retrieval-key")]
    key: String,
    token_management_info: CarrierToSave,
    /// What stands for the parameters in the provider's URLs, if it is not what the record has.
    #[schema(value_type = Option<Object>)]
    parameters: Option<()>,
    /// The generation that is to be replaced, as `Describe` answers it.
    #[schema(minimum = 1)]
    generation: Option<i32>,
    /// In how many seconds the access token ends, if it is not a JWT that says so itself: 0 to 315360000.
    #[schema(minimum = 0, maximum = 315360000)]
    expires_in: Option<i32>,
}
