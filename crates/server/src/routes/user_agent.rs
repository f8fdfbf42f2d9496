//! The User agent: saving external tokens and getting them back (CONTRACT O1, O2).
//!
//! Invariant: names are read in any case and written in PascalCase (CONTRACT 3), and the rights that
//! are answered are those of the caller.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use model::{
    Access, Field, PROVIDER_MAX_CHARS, Provider, RetrievalKey, SecretText, TokenManagementInfo,
};
use negotiate::body::{Body, Object, WrongType};
use serde::Serialize;
use store::SavedTokens;

use crate::{answer, app::App, extract::Call, problem::Problem};

/// `POST …/SaveExternalTokens`: saves the carrier; answers the key that retrieves it.
pub(crate) async fn save(call: Call, app: Data<App>) -> Result<HttpResponse, Problem> {
    let carrier = carrier(&call.body)?;
    carrier.check(app.limits.token_bytes)?;
    let key = app.store.save_external_tokens(&call.principal, &carrier).await?;
    Ok(answer::json(StatusCode::OK, &key.expose()))
}

/// `POST …/GetExternalTokens`: answers the carrier, or null if the key retrieves nothing.
pub(crate) async fn get(call: Call, app: Data<App>) -> Result<HttpResponse, Problem> {
    let root = call.body.root()?;
    let key = root
        .string("Key")?
        .filter(|key| !key.is_empty())
        .ok_or_else(|| Problem::required("Key"))?;
    let key = RetrievalKey::parse(key)?;
    let saved = app.store.external_tokens(&call.principal.tenant, &key).await?;
    let answered = saved.as_ref().map(|saved| {
        let access = Access::of(&call.principal, &saved.owner);
        Carrier::new(saved, access, app.limits.token_bytes)
    });
    Ok(answer::json(StatusCode::OK, &answered))
}

/// Reads `TokenManagementInfo`; rights and unknown properties are ignored (CONTRACT 4).
fn carrier(body: &Body) -> Result<TokenManagementInfo, Problem> {
    const NAME: &str = "TokenManagementInfo";
    let carrier = body.root()?.object(NAME)?.ok_or_else(|| Problem::required(NAME))?;
    Ok(TokenManagementInfo {
        provider: Provider::parse(text(&carrier, Field::Provider)?.unwrap_or_default())?,
        access_token: text(&carrier, Field::AccessToken)?.map(SecretText::from),
        refresh_token: text(&carrier, Field::RefreshToken)?.map(SecretText::from),
        claims: text(&carrier, Field::Claims)?.map(SecretText::from),
    })
}

fn text<'a>(carrier: &Object<'a>, field: Field) -> Result<Option<&'a str>, WrongType> {
    carrier.string(field.name())
}

/// `TokenManagementInfo` as it is answered.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Carrier<'a> {
    provider: &'a str,
    access_token: Option<&'a str>,
    refresh_token: Option<&'a str>,
    claims: Option<&'a str>,
    table_right: Right,
    field_properties: BTreeMap<&'static str, FieldProperty>,
}

/// `TableRight` and `FieldRight`: a mask by its name, and why it is not more.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Right {
    mask: String,
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FieldProperty {
    field_right: Right,
    /// The name of the .NET type.
    field_type: &'static str,
    /// The limit: in characters, for tokens and claims in bytes of UTF-8.
    field_length: usize,
}

impl<'a> Carrier<'a> {
    fn new(saved: &'a SavedTokens, access: Access, token_bytes: usize) -> Self {
        let reason = match access {
            Access::Full => "",
            Access::ReadOnly => "You are not the owner of these tokens.",
        };
        let field_right = Right { mask: access.field_mask().to_string(), reason };
        let field_properties = Field::ALL.map(|field| {
            let field_length = match field {
                Field::Provider => PROVIDER_MAX_CHARS,
                Field::AccessToken | Field::RefreshToken | Field::Claims => token_bytes,
            };
            let field_right = field_right.clone();
            let property = FieldProperty { field_right, field_type: "System.String", field_length };
            (field.name(), property)
        });
        let TokenManagementInfo { provider, access_token, refresh_token, claims } = &saved.carrier;
        Self {
            provider: provider.as_str(),
            access_token: access_token.as_ref().map(SecretText::expose),
            refresh_token: refresh_token.as_ref().map(SecretText::expose),
            claims: claims.as_ref().map(SecretText::expose),
            table_right: Right { mask: access.table_mask().to_string(), reason },
            field_properties: BTreeMap::from(field_properties),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Login;
    use serde_json::json;

    /// CONTRACT 5, 6: another caller who holds the key is told that it may only read, and why.
    #[test]
    fn who_is_not_the_owner_is_told_so() {
        let saved = SavedTokens {
            owner: Login::parse("tje0").expect("login"),
            carrier: TokenManagementInfo {
                provider: Provider::parse("et").expect("provider"),
                access_token: Some("fugit".into()),
                refresh_token: None,
                claims: None,
            },
        };
        let answer = serde_json::to_value(Carrier::new(&saved, Access::ReadOnly, 10));
        let answer = answer.expect("JSON");
        let reason = "You are not the owner of these tokens.";
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
