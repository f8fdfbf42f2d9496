//! The end of records and of their grants (CONTRACT O11, O15).
//!
//! Invariant: only the owner and administrators end a record. The answer says that a grant was revoked only if its
//! provider confirmed it.

use actix_web::{HttpResponse, web::Data};
use model::{Principal, RetrievalKey};
use serde::Serialize;
use store::RecordInfo;
use utoipa::ToSchema;

use super::{
    external_tokens::{RecordSelector, WhichExternalTokens, confined_to},
    members::{EXAMPLE_KEY, required_key},
};
use crate::{
    grants::{Condition, GrantError, RevocationWish, Revoked, Upstream},
    http::{
        answer,
        extract::AgentCall,
        paths::{REVOKE_EXTERNAL_TOKENS, REVOKE_GRANT},
        problem::Problem,
        request_log,
    },
    state::App,
};

/// `POST …/ExternalTokens/Revoke`: destroys the tokens at once and permanently. Answers whether there were any.
///
/// For the owner and administrators. Other callers with the key are rejected; other callers with only the id get
/// false. With the key, the grant is first revoked at its provider, if that is configured for the provider
/// (`revoke_upstream`). The tokens are destroyed even if that fails.
#[utoipa::path(
    post,
    path = REVOKE_EXTERNAL_TOKENS,
    operation_id = "RevokeExternalTokens",
    summary = "SR_REVOKE_EXTERNAL_TOKENS",
    tag = "External tokens",
    request_body(content = WhichExternalTokens, example = json!({"Id": "01vYvSdgm8u"})),
    responses((status = 200, description = "Whether there were living tokens", body = bool))
)]
pub(crate) async fn revoke(call: AgentCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let principal = &call.caller.principal;
    let (tenant, owner) = (&principal.tenant, confined_to(principal));
    let was_revoked = match RecordSelector::of(&call.body.root()?)? {
        RecordSelector::Id(id) => app.store.revoke_record(tenant.clone(), id, owner, None).await?,
        RecordSelector::Nothing => false,
        RecordSelector::Key(key) => match managed_record(&app, principal, &key).await? {
            Some(record)
                if record.ended.is_none() && app.grants.revokes_upstream(tenant, &record) =>
            {
                let revoked = end_grant(&call, &app, &key, &record, Condition::Always).await?;
                revoked.is_some_and(|revoked| revoked.was_ended)
            }
            Some(record) => app.store.revoke_record(tenant.clone(), record.id, owner, None).await?,
            None => false,
        },
    };
    request_log::note_revoked(was_revoked);
    answer::write(&call.preferences, "boolean", &was_revoked)
}

/// `POST …/ExternalTokens/RevokeGrant`: revokes the grant at its provider, then destroys the tokens. Answers the
/// result, or null.
///
/// For the owner and administrators. Other callers with the key are rejected. `Upstream` is the result at the
/// provider: `Revoked` if it confirmed the revocation (RFC 7009), `NotSupported` if it has no revocation. `Failed`
/// means that it confirmed nothing, so the grant may still be valid there. With `Require` the tokens are destroyed
/// only after `Revoked`; otherwise in any case. A call may be repeated, because a provider also confirms the
/// revocation of an unknown token. A key that retrieves nothing is answered with null.
#[utoipa::path(
    post,
    path = REVOKE_GRANT,
    operation_id = "RevokeExternalTokenGrant",
    summary = "SR_REVOKE_GRANT",
    tag = "External tokens",
    request_body(content = RevokeGrant, example = json!({"Key": EXAMPLE_KEY, "Require": true})),
    responses((
        status = 200, description = "The result of the revocation, or null", body = Option<GrantRevocation>
    ))
)]
pub(crate) async fn revoke_grant(call: AgentCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let root = call.body.root()?;
    let key = required_key(&root)?;
    let condition = match root.boolean("Require")? {
        Some(true) => Condition::Confirmed,
        Some(false) | None => Condition::Asked,
    };
    let mut revoked = None;
    if let Some(key) = key {
        let record = managed_record(&app, &call.caller.principal, &key).await?;
        if let Some(record) = record.filter(|record| record.ended.is_none()) {
            revoked = end_grant(&call, &app, &key, &record, condition).await?;
        }
    }
    request_log::note_revoked(revoked.is_some_and(|revoked| revoked.was_ended));
    let answered = revoked.map(|revoked| GrantRevocation {
        revoked: revoked.was_ended,
        upstream: Some(match revoked.upstream {
            Upstream::Revoked => "Revoked",
            Upstream::NotSupported => "NotSupported",
            Upstream::Failed => "Failed",
        }),
    });
    answer::write(&call.preferences, "GrantRevocation", &answered)
}

async fn end_grant(
    call: &AgentCall,
    app: &App,
    key: &RetrievalKey,
    record: &RecordInfo,
    condition: Condition,
) -> Result<Option<Revoked>, Problem> {
    let principal = &call.caller.principal;
    let (tenant, owner) = (&principal.tenant, confined_to(principal));
    let wish = RevocationWish { tenant, key, record, owner, condition };
    let named =
        |error: GrantError| Problem::of_grant(error, call.preferences.value(&record.provider));
    app.grants.revoke(wish).await.map_err(named)
}

/// Returns the record of a key that the caller wants to end, alive or ended.
///
/// # Errors
/// 403: the caller has the key of another user's living record.
async fn managed_record(
    app: &App,
    caller: &Principal,
    key: &RetrievalKey,
) -> Result<Option<RecordInfo>, Problem> {
    let record = app.store.record_of_key(caller.tenant.clone(), key.clone()).await?;
    if let Some(record) = &record {
        request_log::note_provider(&record.provider);
    }
    match record {
        Some(record) if record.ended.is_none() && !caller.may_manage(&record.owner) => {
            Err(Problem::only_owner_revokes())
        }
        record => Ok(record),
    }
}

/// The request of `RevokeGrant`.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct RevokeGrant {
    /// The key that `SaveExternalTokens` answered.
    #[schema(pattern = r"\S", format = "retrieval-key")]
    key: String,
    /// Whether the tokens are destroyed only if the provider confirms the revocation. By default false.
    require: Option<bool>,
}

/// The result of revoking a grant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct GrantRevocation {
    /// Whether the tokens were destroyed here.
    revoked: bool,
    /// The result at the provider: Revoked, NotSupported or Failed.
    #[schema(example = "Revoked")]
    upstream: Option<&'static str>,
}
