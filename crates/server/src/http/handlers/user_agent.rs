//! The User agent: saves external tokens and retrieves them (CONTRACT O1, O2).
//!
//! Invariant: names are read in any case and written in PascalCase (CONTRACT 3). The rights in an answer are those of
//! the caller.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use model::GrantDetails;
use store::TokensToSave;
use utoipa::ToSchema;

use super::{
    carrier::Carrier,
    members::{EXAMPLE_KEY, carrier, checked_parameters, token_end},
    retrieval::answer_by_key,
};
use crate::{
    http::{
        answer,
        extract::{AgentCall, idempotency_key},
        paths::{GET_EXTERNAL_TOKENS, SAVE_EXTERNAL_TOKENS},
        problem::Problem,
        request_log,
    },
    state::App,
};

/// `POST …/SaveExternalTokens`: saves the carrier. Answers the key that retrieves it.
///
/// Every call makes a separate record, sealed under the key in the answer. The key is stored nowhere: protect it like
/// the tokens. `Provider` and at least one token are required. `TableRight` and `FieldProperties` are ignored. With
/// an `Idempotency-Key`, a save that is repeated within 24 hours makes no other record, and is answered with the key
/// of the first.
#[utoipa::path(
    post,
    path = SAVE_EXTERNAL_TOKENS,
    operation_id = "SaveExternalTokens",
    summary = "SR_SAVE_EXTERNAL_TOKENS",
    tag = "User agent",
    params((
        "Idempotency-Key" = Option<String>, Header, nullable = false,
        pattern = r#"^([!#-~][!-~]{15,254}|"[!#-\[\]-~]{16,255}")$"#,
        description = "Names this save: 16 to 255 visible ASCII characters, chosen at random, such as a \
                       UUID. A save that is repeated with it is done once."
    )),
    request_body(
        content = SaveExternalTokens,
        example = json!({"TokenManagementInfo": {
            "Provider": "et", "AccessToken": "fugit", "RefreshToken": "odit"
        }})
    ),
    responses((status = 200, description = "The key that retrieves the tokens", body = String))
)]
pub(crate) async fn save(
    call: AgentCall,
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let carrier = carrier(&call.body)?;
    carrier.check(app.limits.token_bytes)?;
    let (principal, root) = (&call.caller.principal, call.body.root()?);
    let parameters = checked_parameters(&call, &app, &root, &carrier.provider)?;
    let details = GrantDetails { parameters, ..GrantDetails::default() };
    let access_expires = token_end(&root, carrier.access_token.as_ref())?;
    let tokens = TokensToSave { carrier: &carrier, details: &details, access_expires, grant: None };
    let key = match &idempotency_key {
        Some(once) => app.store.save_external_tokens_once(principal, tokens, once).await?,
        None => app.store.save_external_tokens(principal, tokens).await?,
    };
    request_log::note_record(key.record());
    answer::write(&call.preferences, "string", &key.expose())
}

/// `POST …/GetExternalTokens`: answers the carrier, or null.
///
/// A key that retrieves nothing is answered with null, regardless of the reason. A key of this server that was
/// truncated or mistyped is an error.
#[utoipa::path(
    post,
    path = GET_EXTERNAL_TOKENS,
    operation_id = "GetExternalTokens",
    summary = "SR_GET_EXTERNAL_TOKENS",
    tag = "User agent",
    request_body(content = GetExternalTokens, example = json!({"Key": EXAMPLE_KEY})),
    responses((status = 200, description = "The tokens, or null", body = Option<Carrier>))
)]
pub(crate) async fn get(call: AgentCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let grants = &app.grants;
    answer_by_key(&call, &app, async |wish, saved| grants.fresh(wish, saved).await).await
}

/// The request of `SaveExternalTokens`.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct SaveExternalTokens {
    token_management_info: CarrierToSave,
    /// The seconds until the access token ends, if it is not a JWT that contains its end: 0 to 315360000.
    #[schema(minimum = 0, maximum = 315360000)]
    expires_in: Option<i32>,
    /// The values of the parameters in the provider's URLs, such as `{"shop": "acme"}`, if the server is to refresh
    /// the tokens. The configuration of the provider lists the parameters.
    #[schema(value_type = Option<Object>)]
    parameters: Option<()>,
}

/// A provider with the tokens it issued. At least one token is required.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase", example = json!({
    "Provider": "et", "AccessToken": "fugit", "RefreshToken": "odit"
}))]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
pub(super) struct CarrierToSave {
    /// The issuer of the tokens: 1 to 255 characters. It may be a multi-language value.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
    provider: String,
    /// Gives access to the provider's API until it expires. The limit counts bytes of UTF-8.
    #[schema(max_length = 65536)]
    access_token: Option<String>,
    /// Gets a new access token. The limit counts bytes of UTF-8.
    #[schema(max_length = 65536)]
    refresh_token: Option<String>,
    /// The claims of the id_token, a JSON dictionary in a string. The limit counts bytes of UTF-8.
    #[schema(max_length = 65536)]
    claims: Option<String>,
    /// Ignored.
    #[schema(value_type = Value, required = false)]
    table_right: (),
    /// Ignored.
    #[schema(value_type = Value, required = false)]
    field_properties: (),
}

/// The request of `GetExternalTokens`.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct GetExternalTokens {
    /// The key that `SaveExternalTokens` answered.
    #[schema(pattern = r"\S", format = "retrieval-key")]
    key: String,
    /// The minimum remaining life of the access token, in seconds: 0 to 86400. If it is shorter, and the provider is
    /// configured, the server refreshes it before it answers.
    #[schema(minimum = 0, maximum = 86400)]
    minimum_seconds: Option<i32>,
}
