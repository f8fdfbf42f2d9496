//! The URL at which a user consents at a provider (CONTRACT O12).
//!
//! Invariant: nothing is stored. The answer contains all values that the exchange of the code needs.

use actix_web::{HttpResponse, web::Data};
use model::SecretText;
use negotiate::body::Object;
use serde::Serialize;
use utoipa::ToSchema;

use super::members::{
    EXAMPLE_KEY, REDIRECT_URI, given, non_blank, parameters, provider, record_key,
};
use crate::{
    grants::Consent,
    http::{answer, extract::AgentCall, paths::AUTHORIZE, problem::Problem},
    state::App,
    texts::Message,
};

const SCOPES: &str = "Scopes";
/// The maximum length of all scopes together, in bytes.
const MAX_SCOPES_BYTES: usize = 4096;

/// `POST …/ExternalTokens/Authorize`: answers the URL at which a user consents, and the values for the exchange of
/// the code.
///
/// Nothing is stored: keep `State`, `Nonce` and `PkceVerifier` in the user's session, and send the user to `Url`.
/// Pass them to `ExchangeCodeAndSaveTokens` with the code that the provider sends. `State` is valid for ten minutes.
/// With `Key` the user connects again: the new tokens are saved under that key.
#[utoipa::path(
    post,
    path = AUTHORIZE,
    operation_id = "AuthorizeExternalTokens",
    summary = "SR_AUTHORIZE",
    tag = "External tokens",
    request_body(
        content = AuthorizeExternalTokens,
        example = json!({"Provider": "xero", "RedirectUri": "https://app.example.com/connected"})
    ),
    responses((status = 200, description = "The URL for the user, and the values to keep", body = Authorization))
)]
pub(crate) async fn authorize(call: AgentCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let root = call.body.root()?;
    let (name, provider) = provider(&root)?;
    let consent = Consent {
        provider,
        redirect_uri: given(&root, REDIRECT_URI)?.to_owned(),
        scopes: scopes(&root)?,
        parameters: parameters(&root)?,
        key: record_key(&root)?,
    };
    let made = app.grants.authorize(&call.caller.principal, &consent).await;
    let made =
        made.map_err(|error| Problem::of_authorization(error, call.preferences.value(name)))?;
    let shown = Authorization {
        url: &made.url,
        state: &made.state,
        nonce: made.nonce.as_ref().map(SecretText::expose),
        pkce_verifier: made.pkce_verifier.expose(),
    };
    answer::write(&call.preferences, "Authorization", &shown)
}

/// Reads the requested scopes (RFC 6749 §3.3). `None` stands for those of the provider.
fn scopes(root: &Object<'_>) -> Result<Option<Vec<String>>, Problem> {
    let Some(text) = non_blank(root, SCOPES)? else { return Ok(None) };
    if text.len() > MAX_SCOPES_BYTES {
        return Err(Problem::too_many_bytes(SCOPES, MAX_SCOPES_BYTES, text.len()));
    }
    if !text.bytes().all(|byte| matches!(byte, b' ' | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Err(Problem::invalid(Message::new("SR_SCOPES")));
    }
    Ok(Some(text.split_ascii_whitespace().map(str::to_owned).collect()))
}

/// The request of `Authorize`.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct AuthorizeExternalTokens {
    /// The provider to which the user goes: exactly a name in the server's configuration.
    #[schema(min_length = 1, max_length = 255)]
    provider: String,
    /// The URI to which the provider sends the user back: exactly one of the provider's `redirect_uris`.
    #[schema(min_length = 1)]
    redirect_uri: String,
    /// The scopes to which the user consents, separated by spaces. They replace the provider's `scopes`.
    #[schema(max_length = 4096, pattern = r"^\s*([!#-\[\]-~ ]*\s*)?$", example = "openid email")]
    scopes: Option<String>,
    /// The values of the parameters in the provider's URLs, such as `{"shop": "acme"}`. The configuration of the
    /// provider lists the parameters.
    #[schema(value_type = Option<Object>)]
    parameters: Option<()>,
    /// The key of the record that the user connects again.
    #[schema(format = "retrieval-key", example = json!(EXAMPLE_KEY))]
    key: Option<String>,
}

/// The URL for a user, and the values to keep until the user comes back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Authorization<'a> {
    /// The URL at which the user consents.
    #[schema(example = "https://login.xero.com/identity/connect/authorize?response_type=code&…")]
    url: &'a str,
    /// The `state` with which the provider must send the user back. Valid for ten minutes.
    state: &'a str,
    /// The nonce that the id_token must have. Null if no id_token comes, because `openid` is not among the scopes.
    nonce: Option<&'a str>,
    /// The proof that the code is this caller's (RFC 7636).
    pkce_verifier: &'a str,
}
