//! A new key for saved tokens (CONTRACT O19).
//!
//! Invariant: only the owner and administrators change a key.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use model::{IdempotencyKey, RetrievalKey};
use utoipa::ToSchema;

use super::members::{EXAMPLE_KEY, required_key};
use crate::{
    http::{
        answer,
        extract::{AgentCall, idempotency_key},
        paths::REKEY_EXTERNAL_TOKENS,
        problem::Problem,
        request_log,
    },
    state::App,
};

/// `POST …/ExternalTokens/Rekey`: replaces the key of saved tokens, for a key that others know. Answers the new one,
/// or null.
///
/// For the owner and administrators. Other callers with the key are rejected. From the answer on, the old key
/// retrieves nothing. The new one is stored nowhere: if the answer is lost, the tokens cannot be retrieved any more.
/// So send an `Idempotency-Key`: with it, a call that is repeated within 24 hours is answered with the same key. A
/// key that retrieves nothing is answered with null.
#[utoipa::path(
    post,
    path = REKEY_EXTERNAL_TOKENS,
    operation_id = "RekeyExternalTokens",
    summary = "SR_REKEY_EXTERNAL_TOKENS",
    tag = "External tokens",
    params((
        "Idempotency-Key" = Option<String>, Header, nullable = false,
        pattern = r#"^([!#-~][!-~]{15,254}|"[!#-\[\]-~]{16,255}")$"#,
        description = "Names this change: 16 to 255 visible ASCII characters, chosen at random, such as a \
                       UUID. A change that is repeated with it is done once."
    )),
    request_body(content = RekeyExternalTokens, example = json!({"Key": EXAMPLE_KEY})),
    responses((
        status = 200, description = "The key that retrieves the tokens from now on, or null",
        body = Option<String>
    ))
)]
pub(crate) async fn rekey(
    call: AgentCall,
    request: HttpRequest,
    app: Data<App>,
) -> Result<HttpResponse, Problem> {
    let once = idempotency_key(&request)?;
    let root = call.body.root()?;
    let other = match required_key(&root)? {
        Some(key) => other_key(&call, &app, &key, once.as_ref()).await?,
        None => None,
    };
    request_log::note_found(other.is_some());
    answer::write(&call.preferences, "string", &other.as_ref().map(RetrievalKey::expose))
}

async fn other_key(
    call: &AgentCall,
    app: &App,
    key: &RetrievalKey,
    once: Option<&IdempotencyKey>,
) -> Result<Option<RetrievalKey>, Problem> {
    let principal = &call.caller.principal;
    let record = app.store.record_of_key(principal.tenant.clone(), key.clone()).await?;
    let Some(record) = record.filter(|record| record.ended.is_none()) else {
        return Ok(match once {
            Some(once) => app.store.rekeyed_before(principal, key, once).await?,
            None => None,
        });
    };
    request_log::note_provider(&record.provider);
    if !principal.may_manage(&record.owner) {
        return Err(Problem::only_owner_rekeys());
    }
    let rekeyed = app.grants.rekey(principal, key, once).await;
    rekeyed.map_err(|error| Problem::of_grant(error, call.preferences.value(&record.provider)))
}

/// The request of `Rekey`.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct RekeyExternalTokens {
    /// The key to replace.
    #[schema(pattern = r"\S", format = "retrieval-key")]
    key: String,
}
