//! Replaces the tokens of an existing key (CONTRACT O14).
//!
//! Invariant: tokens that cannot be saved cannot replace others either.

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

/// `POST …/ExternalTokens/Replace`: replaces the tokens that the key retrieves. Answers whether it retrieves any.
///
/// For the owner and administrators. The provider must be the same. All previous tokens are removed, including the
/// claims and the refresh token. With `Generation`, which `Describe` answers, the tokens are replaced only if the
/// record still has that generation.
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

/// The request of `Replace`.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct ReplaceExternalTokens {
    /// The key that `SaveExternalTokens` answered.
    #[schema(pattern = r"\S", format = "retrieval-key")]
    key: String,
    token_management_info: CarrierToSave,
    /// The values of the parameters in the provider's URLs, if they differ from those of the record.
    #[schema(value_type = Option<Object>)]
    parameters: Option<()>,
    /// The generation to replace, as `Describe` answers it.
    #[schema(minimum = 1)]
    generation: Option<i32>,
    /// The seconds until the access token ends, if it is not a JWT that contains its end: 0 to 315360000.
    #[schema(minimum = 0, maximum = 315360000)]
    expires_in: Option<i32>,
}
