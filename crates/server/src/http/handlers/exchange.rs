//! The exchange of an authorization code for tokens, which are saved (CONTRACT O4).
//!
//! Invariant: every property is checked before the code is sent.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use model::{CodeToExchange, SecretText};
use provider::pkce;
use utoipa::ToSchema;

use super::members::{REDIRECT_URI, given, optional, parameters, provider, record_key};
use crate::{
    grants::SentBack,
    http::{
        answer,
        extract::{AgentCall, idempotency_key},
        paths::EXCHANGE_CODE,
        problem::Problem,
        request_log,
    },
    state::App,
};

const CODE: &str = "AuthorizationCode";
/// The maximum length of a code, in bytes.
const MAX_CODE_BYTES: usize = 4096;

/// `POST …/ExchangeCodeAndSaveTokens`: exchanges the code and saves the tokens. Answers the key that retrieves them.
///
/// The provider and the redirect URI must be configured (`grants.providers`). `ExternalTokens/Authorize` makes the
/// URL that leads to the code. A code is sent to the provider only once, even if the exchange fails. After an error
/// of the code, of the nonce or of the provider nothing is saved, and the user has to connect again. The claims of a
/// verified id_token are saved with the tokens. With an `Idempotency-Key`, an exchange that is repeated within 24
/// hours is answered with the key of the first.
#[utoipa::path(
    post,
    path = EXCHANGE_CODE,
    operation_id = "ExchangeCodeAndSaveTokens",
    summary = "SR_EXCHANGE_CODE",
    tag = "User agent",
    params((
        "Idempotency-Key" = Option<String>, Header, nullable = false,
        pattern = r#"^([!#-~][!-~]{15,254}|"[!#-\[\]-~]{16,255}")$"#,
        description = "Names this exchange: 16 to 255 visible ASCII characters, chosen at random, such as a \
                       UUID. An exchange that is repeated with it is done once."
    )),
    request_body(
        content = ExchangeCodeAndSaveTokens,
        example = json!({
            "Provider": "xero",
            "AuthorizationCode": "SplxlOBeZQQYbYS6WxSbIA",
            "Nonce": "n-0S6_WzA2Mj",
            "PkceVerifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            "RedirectUri": "https://app.example.com/connected"
        })
    ),
    responses((status = 200, description = "The key that retrieves the tokens", body = String))
)]
pub(crate) async fn exchange(
    call: AgentCall,
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    let idempotency_key = idempotency_key(&request)?;
    let root = call.body.root()?;
    let (name, provider) = provider(&root)?;
    let code = given(&root, CODE)?;
    if code.len() > MAX_CODE_BYTES {
        return Err(Problem::too_many_bytes(CODE, MAX_CODE_BYTES, code.len()));
    }
    let pkce_verifier = optional(&root, "PkceVerifier")?;
    if pkce_verifier.is_some_and(|verifier| !pkce::is_verifier(verifier)) {
        return Err(Problem::no_verifier());
    }
    let code = CodeToExchange {
        provider,
        code: SecretText::from(code),
        redirect_uri: given(&root, REDIRECT_URI)?.to_owned(),
        nonce: optional(&root, "Nonce")?.map(SecretText::from),
        pkce_verifier: pkce_verifier.map(SecretText::from),
        parameters: parameters(&root)?,
        key: record_key(&root)?,
    };
    let sent_back = SentBack {
        state: optional(&root, "State")?.map(SecretText::from),
        issuer: optional(&root, "Issuer")?.map(str::to_owned),
    };
    let principal = &call.caller.principal;
    let exchanged = app.grants.exchange(principal, code, sent_back, idempotency_key).await;
    let key =
        exchanged.map_err(|error| Problem::of_exchange(error, call.preferences.value(name)))?;
    request_log::note_record(key.record());
    answer::write(&call.preferences, "string", &key.expose())
}

/// The request of `ExchangeCodeAndSaveTokens`.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct ExchangeCodeAndSaveTokens {
    /// The provider of the code: exactly a name in the server's configuration.
    #[schema(min_length = 1, max_length = 255)]
    provider: String,
    /// The code with which the provider sent the user back. The limit counts bytes of UTF-8.
    #[schema(min_length = 1, max_length = 4096)]
    authorization_code: String,
    /// The nonce of the authorization request, which the id_token must have. Null or empty is not compared.
    nonce: Option<String>,
    /// The PKCE verifier of the authorization request: 43 to 128 characters.
    #[schema(pattern = r"^([A-Za-z0-9._~-]{43,128})?$")]
    pkce_verifier: Option<String>,
    /// The URI to which the provider sent the user with the code: exactly one of the provider's `redirect_uris`.
    #[schema(min_length = 1)]
    redirect_uri: String,
    /// The values of the parameters in the provider's URLs, such as `{"shop": "acme"}`. The configuration of the
    /// provider lists the parameters.
    #[schema(value_type = Option<Object>)]
    parameters: Option<()>,
    /// The `state` with which the provider sent the user back, if `Authorize` answered it. It must belong to this
    /// caller, provider, redirect URI, nonce and key. Null or empty is not compared.
    state: Option<String>,
    /// The `iss` with which the provider sent the user back (RFC 9207). It must be the configured issuer, if one is
    /// configured. Null or empty is not compared.
    issuer: Option<String>,
    /// The key of the record that the user connects again. The record keeps its key, and gets these tokens.
    #[schema(format = "retrieval-key")]
    key: Option<String>,
}
