//! Sending a user to a provider, to consent (CONTRACT O12).
//!
//! Invariant: nothing is stored; the answer has what belongs to the exchange of the code.

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
/// The most bytes that all scopes have.
const MAX_SCOPES_BYTES: usize = 4096;

/// `POST …/ExternalTokens/Authorize`: the URL at which a user consents, and what to keep for the exchange of the code.
///
/// Nothing is stored: keep `State`, `Nonce` and `PkceVerifier` in the user's session, send the user to `Url`, and pass
/// them to `ExchangeCodeAndSaveTokens` with the code that comes back. `State` is right for ten minutes. With `Key` the
/// user connects again: the tokens will be those of that key.
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
    responses((status = 200, description = "Where to send the user", body = Authorization))
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

/// The scopes that are asked for (RFC 6749 §3.3); `None` for those of the provider.
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

/// What `Authorize` takes.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct AuthorizeExternalTokens {
    /// Where the user goes: the name of a provider in the server's configuration, exactly.
    #[schema(min_length = 1, max_length = 255)]
    provider: String,
    /// Where the provider sends the user back to: one of the provider's `redirect_uris`, exactly.
    #[schema(min_length = 1)]
    redirect_uri: String,
    /// What the user is to consent to, in place of the provider's `scopes`, with spaces between.
    #[schema(max_length = 4096, pattern = r"^\s*([!#-\[\]-~ ]*\s*)?$", example = "openid email")]
    scopes: Option<String>,
    /// What stands for the parameters in the provider's URLs, such as `{"shop": "acme"}`; the configuration of the
    /// provider says which there are.
    #[schema(value_type = Option<Object>)]
    parameters: Option<()>,
    /// The key of the record that the user connects again.
    #[schema(format = "retrieval-key", example = json!(EXAMPLE_KEY))]
    key: Option<String>,
}

/// Where to send a user, and what to keep until it comes back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct Authorization<'a> {
    /// Where the user consents.
    #[schema(example = "https://login.xero.com/identity/connect/authorize?response_type=code&…")]
    url: &'a str,
    /// What the provider sends the user back with; it must be the same. Right for ten minutes.
    state: &'a str,
    /// What the id_token will have; null if none comes, because `openid` is not among the scopes.
    nonce: Option<&'a str>,
    /// What proves that the code is this caller's (RFC 7636).
    pkce_verifier: &'a str,
}
