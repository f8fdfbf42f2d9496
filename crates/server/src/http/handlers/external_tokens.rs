//! The ExternalTokens agent: descriptions of saved records, without the tokens (CONTRACT O9, O10).
//!
//! Invariant: no answer contains a token, claim or key. A caller that may not see a record gets the answer for a
//! record that does not exist.

use actix_web::{HttpResponse, web::Data};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{Access, Login, Principal, RecordId, RetrievalKey};
use negotiate::body::Object;
use serde::Serialize;
use store::{Listing, Position, RecordInfo, Store};
use utoipa::ToSchema;

use super::{
    carrier::Right,
    members::{EXAMPLE_KEY, non_blank, own_key, unquoted},
};
use crate::{
    grants::GrantDescription,
    http::{
        answer,
        extract::AgentCall,
        paths::{DESCRIBE_EXTERNAL_TOKENS, LIST_EXTERNAL_TOKENS},
        preferences::Dates,
        problem::Problem,
        request_log,
    },
    state::App,
    texts::Message,
};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// The element of a page in XML.
const PAGE: &str = "ExternalTokenPage";
/// The first byte of a cursor.
const CURSOR_VERSION: u8 = 1;

/// `POST …/ExternalTokens/List`: lists the caller's records, or for an administrator all records of the tenant.
///
/// Sorted by owner and id. A page may have fewer items than `Limit`, or none. Request the following items with the
/// page's `Cursor`, until it is null.
#[utoipa::path(
    post,
    path = LIST_EXTERNAL_TOKENS,
    operation_id = "ListExternalTokens",
    summary = "SR_LIST_EXTERNAL_TOKENS",
    tag = "External tokens",
    request_body(content = ListExternalTokens, example = json!({"Provider": "et", "Limit": 10})),
    responses((status = 200, description = "A page of the list", body = ExternalTokenPage))
)]
pub(crate) async fn list(call: AgentCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let (principal, preferences) = (&call.caller.principal, &call.preferences);
    let dates = preferences.dates()?;
    let root = call.body.root()?;
    let asked_for = non_blank(&root, "Owner")?.map(Login::parse).transpose();
    let asked_for = asked_for.map_err(|_no_login| Problem::invalid(Message::new("SR_OWNER")))?;
    let listing = Listing {
        tenant: principal.tenant.clone(),
        owner: asked_for.or_else(|| confined_to(principal)),
        provider: root.string("Provider")?.filter(|name| !name.is_empty()).map(str::to_owned),
        unused_since: None,
        include_ended: root.boolean("IncludeEnded")?.unwrap_or(false),
        limit: limit(&root)?,
        after: unquoted(&root, "Cursor")?.map(read_cursor).transpose()?,
    };
    if listing.owner.as_ref().is_some_and(|owner| !principal.may_manage(owner)) {
        return answer::write(preferences, PAGE, &ExternalTokenPage::default());
    }
    let page = app.store.records(listing).await?;
    request_log::note_records(page.records.len());
    let access = |record: &RecordInfo| Access::of(principal, &record.owner, app.retrieval);
    let grants = app.grants.describe(&principal.tenant, &page.records).await?;
    let item = |(record, grant): (&RecordInfo, &GrantDescription)| {
        ExternalTokenInfo::new(record, grant, access(record), &dates)
    };
    let page = ExternalTokenPage {
        items: page.records.iter().zip(&grants).map(item).collect(),
        cursor: page.next.as_ref().map(write_cursor),
    };
    answer::write(preferences, PAGE, &page)
}

/// `POST …/ExternalTokens/Describe`: describes a record, or answers null.
///
/// By its key, for every caller that gets the tokens by it. By its id, for the owner and administrators. It does not
/// count as a use.
#[utoipa::path(
    post,
    path = DESCRIBE_EXTERNAL_TOKENS,
    operation_id = "DescribeExternalTokens",
    summary = "SR_DESCRIBE_EXTERNAL_TOKENS",
    tag = "External tokens",
    request_body(content = WhichExternalTokens, example = json!({"Key": EXAMPLE_KEY})),
    responses((
        status = 200, description = "The record, or null", body = Option<ExternalTokenInfo>
    ))
)]
pub(crate) async fn describe(call: AgentCall, app: Data<App>) -> Result<HttpResponse, Problem> {
    let principal = &call.caller.principal;
    let dates = call.preferences.dates()?;
    let selector = RecordSelector::of(&call.body.root()?)?;
    let record = selector.find(&app.store, principal).await?;
    let access = |record: &RecordInfo| Access::of(principal, &record.owner, app.retrieval);
    let is_shown =
        |record: &RecordInfo| !selector.is_by_id() || principal.may_manage(&record.owner);
    let record = record.filter(is_shown);
    request_log::note_found(record.is_some());
    if let Some(record) = &record {
        request_log::note_provider(&record.provider);
    }
    let records = Vec::from_iter(record);
    let grants = app.grants.describe(&principal.tenant, &records).await?;
    let info = records
        .iter()
        .zip(&grants)
        .next()
        .map(|(record, grant)| ExternalTokenInfo::new(record, grant, access(record), &dates));
    answer::write(&call.preferences, "ExternalTokenInfo", &info)
}

/// Returns the only owner whose records the caller may manage, or `None` for an administrator.
pub(super) fn confined_to(caller: &Principal) -> Option<Login> {
    (!caller.is_administrator).then(|| caller.login.clone())
}

/// The record that a request selects.
pub(super) enum RecordSelector {
    Key(RetrievalKey),
    Id(RecordId),
    /// No record: the text is not a key of this server (CONTRACT 8).
    Nothing,
}

impl RecordSelector {
    pub(super) fn of(root: &Object<'_>) -> Result<Self, Problem> {
        let selector = match (unquoted(root, "Key")?, unquoted(root, "Id")?) {
            (Some(key), None) => match own_key(key)? {
                Some(key) => Self::Key(key),
                None => return Ok(Self::Nothing),
            },
            (None, Some(id)) => {
                let id = RecordId::parse(id);
                Self::Id(id.ok_or_else(|| Problem::invalid(Message::new("SR_ID_SHAPE")))?)
            }
            (None, None) => return Err(Problem::either_required("Key", "Id")),
            (Some(_), Some(_)) => return Err(Problem::not_both("Key", "Id")),
        };
        match &selector {
            Self::Key(key) => request_log::note_record(key.record()),
            Self::Id(id) => request_log::note_record(*id),
            Self::Nothing => {}
        }
        Ok(selector)
    }

    fn is_by_id(&self) -> bool {
        matches!(self, Self::Id(_))
    }

    /// Returns the record of the caller's tenant, alive or ended.
    async fn find(&self, store: &Store, caller: &Principal) -> Result<Option<RecordInfo>, Problem> {
        let tenant = caller.tenant.clone();
        Ok(match self {
            Self::Key(key) => store.record_of_key(tenant, key.clone()).await?,
            Self::Id(id) => store.record(tenant, *id).await?,
            Self::Nothing => None,
        })
    }
}

fn limit(root: &Object<'_>) -> Result<usize, Problem> {
    let Some(limit) = root.integer("Limit")? else { return Ok(DEFAULT_LIMIT) };
    let in_range = usize::try_from(limit).ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    in_range.ok_or_else(|| Problem::out_of_range("Limit", 1, MAX_LIMIT as u64, limit))
}

/// Encodes a position in a list as text that is opaque to the client.
fn write_cursor(position: &Position) -> String {
    let mut bytes = vec![CURSOR_VERSION];
    bytes.extend_from_slice(&position.record.to_be_bytes());
    bytes.extend_from_slice(position.owner.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes the output of `write_cursor`. It says only where to continue: the caller and the request decide whose
/// records are listed.
fn read_cursor(cursor: &str) -> Result<Position, Problem> {
    let position = || {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (record, owner) = bytes.strip_prefix(&[CURSOR_VERSION])?.split_first_chunk::<8>()?;
        let (record, owner) = (i64::from_be_bytes(*record), str::from_utf8(owner).ok()?);
        // PostgreSQL cannot store U+0000 in text.
        let can_be = !owner.is_empty() && !owner.contains('\0');
        can_be.then(|| Position { record, owner: owner.to_owned() })
    };
    position().ok_or_else(|| Problem::invalid(Message::new("SR_CURSOR")))
}

/// The request of `List`. Every property may be omitted.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct ListExternalTokens {
    /// Only records of this provider, exactly as it was saved.
    provider: Option<String>,
    /// Only records of this user. Only administrators see those of others. A login has 1 to 255 characters, none of
    /// them a colon or a control character. White space around it is ignored.
    #[schema(
        pattern = r"^[\t-\r \u0085]*([^:\u0000-\u001f\u007f-\u009f]{1,255}[\t-\r \u0085]*)?$"
    )]
    owner: Option<String>,
    /// Includes records that expired or were revoked.
    include_ended: Option<bool>,
    /// The maximum number of items: 1 to 1000, by default 100.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i32>,
    /// The cursor that the previous page answered.
    #[schema(format = "cursor")]
    cursor: Option<String>,
}

/// The request of `Describe` and `Revoke`: a key or an id.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
pub(super) struct WhichExternalTokens {
    /// The key that `SaveExternalTokens` answered.
    #[schema(format = "retrieval-key")]
    key: Option<String>,
    /// The id that `List` answered: 11 letters and digits.
    #[schema(format = "record-id", pattern = r"^\s*([0-9A][0-9A-Za-z]{10}\s*)?$")]
    id: Option<String>,
}

/// A page of a list.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct ExternalTokenPage {
    items: Vec<ExternalTokenInfo>,
    /// Gets the next page. Null if there is none.
    cursor: Option<String>,
}

/// The description of saved tokens, which needs no key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct ExternalTokenInfo {
    /// The 11 letters and digits after `lk_` in the key.
    #[schema(example = "01vYvSdgm8u")]
    id: Option<String>,
    /// The issuer of the tokens.
    #[schema(example = "et")]
    provider: Option<String>,
    /// The login of the user who saved them.
    #[schema(example = "tje0")]
    owner: Option<String>,
    /// Time of saving, in UTC.
    #[schema(example = "2026-11-03T14:05:00")]
    created: Option<String>,
    /// Time of the last change, in UTC.
    updated: Option<String>,
    /// Time of the last retrieval, to the hour. Null if there was none.
    last_used: Option<String>,
    /// Time of expiry, past or future. Null if they do not expire.
    expires: Option<String>,
    /// Time of their end. Null while they are alive.
    ended: Option<String>,
    /// The state of the tokens' grant: None if the server does not refresh them or has not tried to, Live,
    /// Refreshing, Failing, Blocked, Dead or Paused.
    #[schema(example = "Live")]
    grant_state: Option<&'static str>,
    /// Time at which the access token ends. Null if that is not known.
    access_token_expires: Option<String>,
    /// Time of the last refresh.
    refreshed: Option<String>,
    /// Time at which the refresh token ends unless the tokens are refreshed before. Null if that is not known.
    refresh_by: Option<String>,
    /// Earliest time of the next refresh. Null if a refresh may be tried at any time.
    retry_at: Option<String>,
    /// The cause of the last failed refresh: a word such as invalid_grant, lost_answer or timeout.
    cause: Option<String>,
    /// Time at which the grant entered its current state.
    since: Option<String>,
    /// The generation of the tokens: 1 as saved, and one more after each replacement.
    #[schema(example = 1)]
    generation: Option<i32>,
    /// The caller's right to the record.
    table_right: Option<Right>,
}

impl ExternalTokenInfo {
    /// Describes a record. A caller that may not read it gets the reason for that, and nothing of the record.
    fn new(
        record: &RecordInfo,
        described: &GrantDescription,
        access: Access,
        dates: &Dates<'_>,
    ) -> Self {
        let preferences = dates.preferences;
        let RecordInfo { id, owner, provider, created, updated, last_used, expires, ended, .. } =
            record;
        let text = |text: &dyn Fn() -> String| access.may_read().then(text);
        let date = |moment: &Option<i64>| {
            moment.filter(|_moment| access.may_read()).map(|moment| dates.date(moment))
        };
        Self {
            id: text(&|| id.text()),
            provider: text(&|| preferences.value(provider)),
            owner: text(&|| owner.to_string()),
            created: text(&|| dates.utc_date(*created)),
            updated: text(&|| dates.utc_date(*updated)),
            last_used: date(last_used),
            expires: date(expires),
            ended: date(ended),
            grant_state: access.may_read().then_some(described.state),
            access_token_expires: date(&record.access_expires),
            refreshed: date(&record.grant.refreshed),
            refresh_by: date(&record.grant.refresh_by),
            retry_at: date(&described.retry_at),
            cause: described.cause.filter(|_| access.may_read()).map(|cause| cause.to_string()),
            since: date(&described.since),
            generation: access.may_read().then_some(record.generation),
            table_right: Some(Right::to_record(access, preferences)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONTRACT 38: only a cursor that was written here is read, and it is read unchanged.
    #[test]
    fn a_cursor_is_opaque_and_checked() {
        let position = |owner: &str, record| Position { owner: owner.to_owned(), record };
        let places = [position("Åse Ødegård", 1 << 60), position("no:login", -1)];
        for position in &places {
            assert_eq!(read_cursor(&write_cursor(position)).expect("own"), *position);
        }
        let cursor = write_cursor(&places[0]);
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let no_owner = [&[CURSOR_VERSION][..], &[0; 8]].concat();
        let with_nul = [&[CURSOR_VERSION][..], &[0; 8], b"a\0b"].concat();
        let no_text = [&[CURSOR_VERSION][..], &[0; 8], b"\xff"].concat();
        let other = [&[9][..], &[0; 8], b"a"].concat();
        for bad in [&no_owner, &with_nul, &no_text, &other, &vec![CURSOR_VERSION; 9]] {
            assert!(read_cursor(&encode(bad)).is_err(), "{bad:?}");
        }
        for bad in ["%", "AQ", &cursor[1..], &format!("{cursor}=")] {
            assert!(read_cursor(bad).is_err(), "{bad}");
        }
    }
}
