//! Tokens in answers, with the rights of the caller (CONTRACT 5, 6).
//!
//! Invariant: a field that the caller may not see is null, and its reason says why.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::{Access, Field, FieldMask, PROVIDER_MAX_CHARS, SecretText, TokenManagementInfo};
use serde::Serialize;
use store::SavedTokens;
use utoipa::ToSchema;

use crate::{
    expiry,
    http::preferences::{Dates, Preferences},
    texts::Message,
};

/// The name of the element in XML.
pub(super) const CARRIER: &str = "TokenManagementInfo";

/// The tokens to answer, and the caller's access to them.
pub(super) struct Shown<'a> {
    pub(super) saved: &'a SavedTokens,
    pub(super) access: Access,
    /// The maximum size of a token, in bytes.
    pub(super) token_bytes: usize,
    /// Whether the refresh token is left out of answers.
    pub(super) keeps_refresh_token: bool,
    /// The reason why the access token is not as fresh as requested.
    pub(super) failure: Option<Message>,
}

/// A provider with the tokens it issued.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenManagementInfo)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Carrier<'a> {
    /// The issuer of the tokens: 1 to 255 characters. It may be a multi-language value.
    #[schema(example = "et")]
    provider: Option<String>,
    /// Gives access to the provider's API until it expires.
    #[schema(example = "fugit")]
    access_token: Option<&'a str>,
    /// Gets a new access token.
    #[schema(example = "odit")]
    refresh_token: Option<&'a str>,
    /// The claims of the id_token, a JSON dictionary in a string.
    claims: Option<&'a str>,
    /// The caller's right to the record.
    table_right: Option<Right>,
    /// The caller's right to each field, and the field's limits.
    field_properties: Option<BTreeMap<&'static str, FieldProperty>>,
}

/// A right: the names of its mask, and the reason why it is restricted or will end.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Right {
    #[schema(example = "FULL", nullable)]
    mask: String,
    #[schema(nullable)]
    reason: String,
}

impl Right {
    /// Returns the right to a whole record.
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
    /// The maximum length: in characters, or for tokens and claims in bytes of UTF-8.
    #[schema(nullable)]
    field_length: usize,
}

impl<'a> Carrier<'a> {
    pub(super) fn new(shown: &Shown<'a>, dates: &Dates<'_>) -> Self {
        let &Shown { saved, access, token_bytes, keeps_refresh_token, .. } = shown;
        let preferences = dates.preferences;
        let TokenManagementInfo { provider, access_token, refresh_token, claims } = &saved.carrier;
        let not_owner = not_owner(access);
        let text = |secret: &'a Option<SecretText>| {
            secret.as_ref().filter(|_| access.may_read()).map(SecretText::expose)
        };
        let field_properties = Field::ALL.map(|field| {
            let field_length = match field {
                Field::Provider => PROVIDER_MAX_CHARS,
                Field::AccessToken | Field::RefreshToken | Field::Claims => token_bytes,
            };
            let is_token = field == Field::AccessToken && access.may_read();
            let expiry = if is_token { expiry_notice(saved, dates) } else { None };
            let failure = shown.failure.as_ref().filter(|_| is_token);
            let is_kept = keeps_refresh_token && field == Field::RefreshToken;
            let kept = is_kept.then(|| Message::new("SR_REFRESHED_BY_SERVER"));
            let mask = if is_kept { FieldMask::None } else { access.field_mask(field) };
            let mandatory =
                (mask == FieldMask::Mandatory).then(|| Message::new("SR_ACCESS_MANDATORY"));
            let reasons =
                not_owner.iter().chain(&mandatory).chain(&expiry).chain(failure).chain(&kept);
            let field_right =
                Right { mask: mask.to_string(), reason: reason(reasons, preferences) };
            let property = FieldProperty { field_right, field_type: "System.String", field_length };
            (field.name(), property)
        });
        Self {
            provider: access.may_read().then(|| preferences.value(provider.as_str())),
            access_token: text(access_token),
            refresh_token: text(refresh_token).filter(|_| !keeps_refresh_token),
            claims: text(claims),
            table_right: Some(Right::to_record(access, preferences)),
            field_properties: Some(BTreeMap::from(field_properties)),
        }
    }
}

/// Returns the reason why the caller may not do everything.
fn not_owner(access: Access) -> Option<Message> {
    match access {
        Access::Full => None,
        Access::ReadOnly => Some(Message::new("SR_NOT_OWNER")),
        Access::Denied => Some(Message::new("SR_ONLY_OWNER")),
    }
}

/// Returns the time at which the access token ends, if it is known. A time that is only assumed does not count
/// (CONTRACT 44).
pub(super) fn known_end(saved: &SavedTokens) -> Option<Timestamp> {
    let token = saved.carrier.access_token.as_ref()?;
    let known = saved.access_expires.and_then(|end| Timestamp::from_microsecond(end).ok());
    known.or_else(|| expiry::of_token(token.expose()))
}

/// Returns a message with the time at which the access token expires or has expired, if it is known.
fn expiry_notice(saved: &SavedTokens, dates: &Dates<'_>) -> Option<Message> {
    let expiry = known_end(saved)?;
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
    use model::{GrantDetails, Login, Provider, RecordId};
    use negotiate::{Culture, Language, MediaType, Select, TimeZone};
    use serde_json::json;
    use store::RecordTimes;

    use crate::texts::Locale;

    /// CONTRACT 5, 6, 19: another caller with the key may only read, and gets the reason as a reference or as text.
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
            let shown = Shown {
                saved: &saved,
                access: Access::ReadOnly,
                token_bytes: 10,
                keeps_refresh_token: false,
                failure: None,
            };
            let answer = Carrier::new(&shown, &dates);
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
