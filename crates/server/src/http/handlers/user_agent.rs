//! The User agent: saving external tokens and getting them back (CONTRACT O1, O2).
//!
//! Invariant: names are read in any case and written in PascalCase (CONTRACT 3), and the rights that
//! are answered are those of the caller.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web::Data};
use jiff::Timestamp;
use model::{
    Access, Field, FieldMask, GrantDetails, MalformedKey, PROVIDER_MAX_CHARS, Provider,
    RetrievalKey, SecretText, TokenManagementInfo,
};
use negotiate::body::{Body, Object, WrongType};
use serde::Serialize;
use store::{SavedTokens, TokenEnd, TokensToSave};
use utoipa::ToSchema;

use crate::{
    expiry,
    http::{
        answer,
        extract::{AgentCall, idempotency_key},
        paths::{GET_EXTERNAL_TOKENS, SAVE_EXTERNAL_TOKENS},
        preferences::{Dates, Preferences},
        problem::Problem,
        request_log,
    },
    state::App,
    texts::Message,
};

const CARRIER: &str = "TokenManagementInfo";
const EXPIRES_IN: &str = "ExpiresIn";
/// Ten years, in seconds.
const MAX_EXPIRES_IN: i64 = 315_360_000;
/// A key in the document, which retrieves nothing.
pub(super) const EXAMPLE_KEY: &str =
    "lk_01vYvSdgm8u000ThisKeyIsAnExampleAndRetrievesNothing0002HeXH9";

/// `POST …/SaveExternalTokens`: saves the carrier; answers the key that retrieves it.
///
/// Every call makes a record of its own, sealed under the key that is answered. The key is stored
/// nowhere: keep it as you would keep the tokens. `Provider` and at least one token are required;
/// `TableRight` and `FieldProperties` are ignored. With an `Idempotency-Key` a save that is sent again
/// within 24 hours makes no other record, and is answered with the key of the first.
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
                       UUID. Sent again with it, the save is done once."
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
    let (principal, details) = (&call.caller.principal, GrantDetails::default());
    let access_expires = token_end(&call.body.root()?, carrier.access_token.as_ref())?;
    let tokens = TokensToSave { carrier: &carrier, details: &details, access_expires };
    let key = match &idempotency_key {
        Some(once) => app.store.save_external_tokens_once(principal, tokens, once).await?,
        None => app.store.save_external_tokens(principal, tokens).await?,
    };
    request_log::note_record(key.record());
    answer::write(&call.preferences, "string", &key.expose())
}

/// `POST …/GetExternalTokens`: answers the carrier, or null.
///
/// A key that retrieves nothing, for whatever reason, is answered with null; one of this server's that is cut or
/// mistyped is an error.
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
    let dates = call.preferences.dates()?;
    let root = call.body.root()?;
    let key = unquoted(&root, "Key")?.ok_or_else(|| Problem::required("Key"))?;
    let principal = &call.caller.principal;
    let saved = match own_key(key)? {
        Some(key) => {
            request_log::note_record(key.record());
            app.store.external_tokens(&principal.tenant, &key).await?
        }
        None => None,
    };
    request_log::note_found(saved.is_some());
    let answered = saved.as_ref().map(|saved| {
        let access = Access::of(principal, &saved.owner, app.retrieval);
        if access.may_read() {
            app.store.note_use(saved);
        }
        Carrier::new(saved, access, app.limits.token_bytes, &dates)
    });
    answer::write(&call.preferences, CARRIER, &answered)
}

/// Reads `TokenManagementInfo`; rights and unknown properties are ignored (CONTRACT 4).
fn carrier(body: &Body) -> Result<TokenManagementInfo, Problem> {
    let carrier = body.root()?.object(CARRIER)?.ok_or_else(|| Problem::required(CARRIER))?;
    Ok(TokenManagementInfo {
        provider: Provider::parse(text(&carrier, Field::Provider)?.unwrap_or_default())?,
        access_token: text(&carrier, Field::AccessToken)?.map(SecretText::from),
        refresh_token: text(&carrier, Field::RefreshToken)?.map(SecretText::from),
        claims: text(&carrier, Field::Claims)?.map(SecretText::from),
    })
}

/// When an access token ends: after `ExpiresIn` seconds, or when it says itself.
fn token_end(root: &Object<'_>, token: Option<&SecretText>) -> Result<Option<TokenEnd>, Problem> {
    match root.integer(EXPIRES_IN)? {
        Some(seconds) if (0..=MAX_EXPIRES_IN).contains(&seconds) => {
            Ok(Some(TokenEnd::In(seconds * 1_000_000)))
        }
        Some(other) => Err(Problem::out_of_range(EXPIRES_IN, 0, MAX_EXPIRES_IN as u64, other)),
        None => {
            let told = token.and_then(|token| expiry::of_token(token.expose()));
            Ok(told.map(|end| TokenEnd::At(end.as_microsecond())))
        }
    }
}

/// The key that a text is; `None` if it is no key of this server at all, and so retrieves nothing (CONTRACT 8).
///
/// # Errors
/// It is a key that was cut or mistyped.
pub(super) fn own_key(text: &str) -> Result<Option<RetrievalKey>, MalformedKey> {
    match RetrievalKey::parse(text) {
        Err(MalformedKey::Foreign) => Ok(None),
        key => key.map(Some),
    }
}

/// As `non_blank`, also without the quotes that a text has which was copied with them.
pub(super) fn unquoted<'a>(root: &Object<'a>, name: &str) -> Result<Option<&'a str>, WrongType> {
    let Some(text) = non_blank(root, name)? else { return Ok(None) };
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Ok(Some(bare.unwrap_or(text).trim()).filter(|text| !text.is_empty()))
}

/// A property as text without white space around it; `None` if nothing is left.
pub(super) fn non_blank<'a>(root: &Object<'a>, name: &str) -> Result<Option<&'a str>, WrongType> {
    Ok(root.string(name)?.map(str::trim).filter(|text| !text.is_empty()))
}

fn text<'a>(carrier: &Object<'a>, field: Field) -> Result<Option<&'a str>, WrongType> {
    carrier.string(field.name())
}

/// What `SaveExternalTokens` takes.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct SaveExternalTokens {
    token_management_info: CarrierToSave,
    /// In how many seconds the access token ends, if it is not a JWT that says so itself: 0 to 315360000.
    #[schema(minimum = 0, maximum = 315360000)]
    expires_in: Option<i32>,
}

/// A provider with the tokens it issued, of which there must be one.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase", example = json!({
    "Provider": "et", "AccessToken": "fugit", "RefreshToken": "odit"
}))]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct CarrierToSave {
    /// Who issued the tokens: 1 to 255 characters. It may be a multi-language value.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[^\u0000]*$")]
    provider: String,
    /// Opens the provider's API for a while. The limit counts bytes of UTF-8.
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

/// What `GetExternalTokens` takes.
#[derive(ToSchema)]
#[schema(rename_all = "PascalCase")]
#[expect(dead_code, reason = "for OpenAPI; bodies are read as trees")]
struct GetExternalTokens {
    /// The key that `SaveExternalTokens` answered.
    #[schema(pattern = r"\S", format = "retrieval-key")]
    key: String,
}

/// A provider with the tokens it issued.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenManagementInfo)]
#[serde(rename_all = "PascalCase")]
struct Carrier<'a> {
    /// Who issued the tokens: 1 to 255 characters. It may be a multi-language value.
    #[schema(example = "et")]
    provider: Option<String>,
    /// Opens the provider's API for a while.
    #[schema(example = "fugit")]
    access_token: Option<&'a str>,
    /// Gets a new access token.
    #[schema(example = "odit")]
    refresh_token: Option<&'a str>,
    /// The claims of the id_token, a JSON dictionary in a string.
    claims: Option<&'a str>,
    /// What the caller may do with the record.
    table_right: Option<Right>,
    /// What the caller may do with each field, and its limits.
    field_properties: Option<BTreeMap<&'static str, FieldProperty>>,
}

/// A right, by the names of its mask, and why it is not more or will not last.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Right {
    #[schema(example = "FULL", nullable)]
    mask: String,
    #[schema(nullable)]
    reason: String,
}

impl Right {
    /// The right to a whole record.
    pub(super) fn to_record(access: Access, preferences: &Preferences) -> Self {
        let reason = reason(not_owner(access).iter(), preferences);
        Self { mask: access.table_mask().to_string(), reason }
    }
}

/// A field's right, type and limit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
struct FieldProperty {
    #[schema(nullable)]
    field_right: Right,
    /// The name of the .NET type.
    #[schema(example = "System.String", nullable)]
    field_type: &'static str,
    /// The limit: in characters, for tokens and claims in bytes of UTF-8.
    #[schema(nullable)]
    field_length: usize,
}

impl<'a> Carrier<'a> {
    fn new(saved: &'a SavedTokens, access: Access, token_bytes: usize, dates: &Dates<'_>) -> Self {
        let preferences = dates.preferences;
        let TokenManagementInfo { provider, access_token, refresh_token, claims } = &saved.carrier;
        let not_owner = not_owner(access);
        let shown = |secret: &'a Option<SecretText>| {
            secret.as_ref().filter(|_| access.may_read()).map(SecretText::expose)
        };
        let field_properties = Field::ALL.map(|field| {
            let field_length = match field {
                Field::Provider => PROVIDER_MAX_CHARS,
                Field::AccessToken | Field::RefreshToken | Field::Claims => token_bytes,
            };
            let expiry = access_token.as_ref().filter(|_| field == Field::AccessToken);
            let expiry = expiry.filter(|_| access.may_read());
            let expiry = expiry.and_then(|token| expiry_notice(token, dates));
            let mask = access.field_mask(field);
            let mandatory =
                (mask == FieldMask::Mandatory).then(|| Message::new("SR_ACCESS_MANDATORY"));
            let reasons = not_owner.iter().chain(&mandatory).chain(&expiry);
            let field_right =
                Right { mask: mask.to_string(), reason: reason(reasons, preferences) };
            let property = FieldProperty { field_right, field_type: "System.String", field_length };
            (field.name(), property)
        });
        Self {
            provider: access.may_read().then(|| preferences.value(provider.as_str())),
            access_token: shown(access_token),
            refresh_token: shown(refresh_token),
            claims: shown(claims),
            table_right: Some(Right::to_record(access, preferences)),
            field_properties: Some(BTreeMap::from(field_properties)),
        }
    }
}

/// Why the caller may not do everything.
fn not_owner(access: Access) -> Option<Message> {
    match access {
        Access::Full => None,
        Access::ReadOnly => Some(Message::new("SR_NOT_OWNER")),
        Access::Denied => Some(Message::new("SR_ONLY_OWNER")),
    }
}

/// When the access token expires, or did, if it tells.
fn expiry_notice(token: &SecretText, dates: &Dates<'_>) -> Option<Message> {
    let expiry = expiry::of_token(token.expose())?;
    let name = if expiry > Timestamp::now() {
        "SR_ACCESS_TOKEN_EXPIRES"
    } else {
        "SR_ACCESS_TOKEN_EXPIRED"
    };
    Some(Message::new(name).with("date", dates.moment(expiry)))
}

fn reason<'a>(texts: impl Iterator<Item = &'a Message>, preferences: &Preferences) -> String {
    texts.map(|text| preferences.text(text)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Login, RecordId};
    use negotiate::{Culture, Language, MediaType, Select, TimeZone};
    use serde_json::json;
    use store::RecordTimes;

    use crate::texts::Locale;

    /// CONTRACT 5, 6, 19: another caller who holds the key is told that it may only read, and why: by
    /// reference, or in words.
    #[test]
    fn who_is_not_the_owner_is_told_so() {
        let saved = SavedTokens {
            owner: Login::parse("tje0").expect("login"),
            carrier: TokenManagementInfo {
                access_token: Some("fugit".into()),
                ..TokenManagementInfo::of(Provider::parse("et").expect("provider"))
            },
            details: GrantDetails::default(),
            generation: 1,
            updated: 0,
            access_expires: None,
            times: RecordTimes {
                record: RecordId::from_i64(1).expect("id"),
                created: 0,
                last_used: None,
                expires: None,
            },
        };
        let culture = Culture::parse("en").expect("culture");
        let english = Locale { language: Language::English, culture };
        for (locale, reason) in
            [(None, "[SR_NOT_OWNER]"), (Some(english), "You are not the owner of these tokens.")]
        {
            let preferences = Preferences {
                media_type: MediaType::ApplicationJson,
                select: Select::everything(),
                locale,
                time_zone: TimeZone::find("UTC"),
                with_offset: false,
            };
            let dates = preferences.dates().expect("UTC");
            let answer = Carrier::new(&saved, Access::ReadOnly, 10, &dates);
            let answer = serde_json::to_value(answer).expect("JSON");
            assert_eq!(answer["AccessToken"], "fugit");
            assert_eq!(answer["TableRight"], json!({"Mask": "Select", "Reason": reason}));
            let property = json!({
                "FieldRight": {"Mask": "Read, UIHintReadOnly", "Reason": reason},
                "FieldType": "System.String",
                "FieldLength": 10
            });
            assert_eq!(answer["FieldProperties"]["AccessToken"], property);
        }
    }
}
