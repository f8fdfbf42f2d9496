//! Members of requests that several operations read in the same way.
//!
//! Invariant: what cannot be right is refused by the member's name.

use std::collections::BTreeMap;

use model::{Field, MalformedKey, Provider, RetrievalKey, SecretText, TokenManagementInfo};
use negotiate::body::{Body, Object, WrongType};
use store::TokenEnd;

use super::carrier::CARRIER;
use crate::{
    expiry,
    grants::ConnectError,
    http::{extract::AgentCall, problem::Problem, request_log},
    state::App,
};

pub(super) const REDIRECT_URI: &str = "RedirectUri";
const EXPIRES_IN: &str = "ExpiresIn";
/// Ten years, in seconds.
const MAX_EXPIRES_IN: i64 = 315_360_000;
/// A key in the document, which retrieves nothing.
pub(super) const EXAMPLE_KEY: &str =
    "lk_01vYvSdgm8u000ThisKeyIsAnExampleAndRetrievesNothing0002HeXH9";

/// Reads `TokenManagementInfo`; rights and unknown properties are ignored (CONTRACT 4).
pub(super) fn carrier(body: &Body) -> Result<TokenManagementInfo, Problem> {
    let carrier = body.root()?.object(CARRIER)?.ok_or_else(|| Problem::required(CARRIER))?;
    Ok(TokenManagementInfo {
        provider: Provider::parse(text(&carrier, Field::Provider)?.unwrap_or_default())?,
        access_token: text(&carrier, Field::AccessToken)?.map(SecretText::from),
        refresh_token: text(&carrier, Field::RefreshToken)?.map(SecretText::from),
        claims: text(&carrier, Field::Claims)?.map(SecretText::from),
    })
}

/// When an access token ends: after `ExpiresIn` seconds, or when it says itself.
pub(super) fn token_end(
    root: &Object<'_>,
    token: Option<&SecretText>,
) -> Result<Option<TokenEnd>, Problem> {
    match root.integer(EXPIRES_IN)? {
        Some(seconds) if (0..=MAX_EXPIRES_IN).contains(&seconds) => {
            Ok(Some(TokenEnd::In(seconds * 1_000_000)))
        }
        Some(other) => Err(Problem::out_of_range(EXPIRES_IN, 0, MAX_EXPIRES_IN as u64, other)),
        None => {
            let of_jwt = token.and_then(|token| expiry::of_token(token.expose()));
            Ok(of_jwt.map(|end| TokenEnd::At(end.as_microsecond())))
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

/// `Key`, which must be there; `None` if it is no key of this server at all. The log's line about the request names its
/// record.
pub(super) fn required_key(root: &Object<'_>) -> Result<Option<RetrievalKey>, Problem> {
    let key = unquoted(root, "Key")?.ok_or_else(|| Problem::required("Key"))?;
    let key = own_key(key)?;
    if let Some(key) = &key {
        request_log::note_record(key.record());
    }
    Ok(key)
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

/// `Provider`, as it is written and as it is.
pub(super) fn provider<'a>(root: &Object<'a>) -> Result<(&'a str, Provider), Problem> {
    let name = given(root, "Provider")?;
    let unknown = |_invalid| Problem::of_connect(ConnectError::UnknownProvider, String::new());
    Ok((name, Provider::parse(name).map_err(unknown)?))
}

/// As `parameters`, of tokens that are brought, and checked.
pub(super) fn checked_parameters(
    call: &AgentCall,
    app: &App,
    root: &Object<'_>,
    provider: &Provider,
) -> Result<BTreeMap<String, String>, Problem> {
    let values = parameters(root)?;
    let checked = app.grants.check_parameters(&call.caller.principal.tenant, provider, &values);
    checked.map_err(|error| Problem::of_connect(error, String::new()))?;
    Ok(values)
}

/// What stands for the parameters in the provider's URLs.
pub(super) fn parameters(root: &Object<'_>) -> Result<BTreeMap<String, String>, Problem> {
    let Some(given) = root.object("Parameters")? else { return Ok(BTreeMap::new()) };
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Ok(given.strings()?.into_iter().map(owned).collect())
}

/// The key of the record that is connected again, if there is one.
pub(super) fn record_key(root: &Object<'_>) -> Result<Option<RetrievalKey>, Problem> {
    let Some(text) = unquoted(root, "Key")? else { return Ok(None) };
    let unknown = || Problem::of_connect(ConnectError::UnknownKey, String::new());
    own_key(text)?.map(Some).ok_or_else(unknown)
}

/// A text that must be there.
pub(super) fn given<'a>(root: &Object<'a>, name: &'static str) -> Result<&'a str, Problem> {
    optional(root, name)?.ok_or_else(|| Problem::required(name))
}

/// A text; `None` if it is empty.
pub(super) fn optional<'a>(root: &Object<'a>, name: &str) -> Result<Option<&'a str>, Problem> {
    Ok(root.string(name)?.filter(|text| !text.is_empty()))
}
