//! Members of requests that several operations read in the same way.
//!
//! Invariant: an error about an invalid member names it.

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
/// The key in the examples of the document. It retrieves nothing.
pub(super) const EXAMPLE_KEY: &str =
    "lk_01vYvSdgm8u000ThisKeyIsAnExampleAndRetrievesNothing0002HeXH9";

/// Reads `TokenManagementInfo`. Rights and unknown properties are ignored (CONTRACT 4).
pub(super) fn carrier(body: &Body) -> Result<TokenManagementInfo, Problem> {
    let carrier = body.root()?.object(CARRIER)?.ok_or_else(|| Problem::required(CARRIER))?;
    let provider = Provider::parse(text(&carrier, Field::Provider)?.unwrap_or_default())?;
    request_log::note_provider(provider.as_str());
    Ok(TokenManagementInfo {
        provider,
        access_token: text(&carrier, Field::AccessToken)?.map(SecretText::from),
        refresh_token: text(&carrier, Field::RefreshToken)?.map(SecretText::from),
        claims: text(&carrier, Field::Claims)?.map(SecretText::from),
    })
}

/// Returns the end of an access token: after `ExpiresIn` seconds, or the end in the token itself.
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

/// Parses a key. Returns `None` if the text is not a key of this server at all, and so retrieves nothing (CONTRACT
/// 8).
///
/// # Errors
/// `MalformedKey`: the key was truncated or mistyped.
pub(super) fn own_key(text: &str) -> Result<Option<RetrievalKey>, MalformedKey> {
    match RetrievalKey::parse(text) {
        Err(MalformedKey::Foreign) => Ok(None),
        key => key.map(Some),
    }
}

/// Reads the required `Key`. Returns `None` if it is not a key of this server at all. The log line about the request
/// gets the id of its record.
pub(super) fn required_key(root: &Object<'_>) -> Result<Option<RetrievalKey>, Problem> {
    let key = unquoted(root, "Key")?.ok_or_else(|| Problem::required("Key"))?;
    let key = own_key(key)?;
    if let Some(key) = &key {
        request_log::note_record(key.record());
    }
    Ok(key)
}

/// Like `non_blank`, also without surrounding quotes that were copied with the text.
pub(super) fn unquoted<'a>(root: &Object<'a>, name: &str) -> Result<Option<&'a str>, WrongType> {
    let Some(text) = non_blank(root, name)? else { return Ok(None) };
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Ok(Some(bare.unwrap_or(text).trim()).filter(|text| !text.is_empty()))
}

/// Reads a property as text without surrounding white space. Returns `None` if nothing is left.
pub(super) fn non_blank<'a>(root: &Object<'a>, name: &str) -> Result<Option<&'a str>, WrongType> {
    Ok(root.string(name)?.map(str::trim).filter(|text| !text.is_empty()))
}

fn text<'a>(carrier: &Object<'a>, field: Field) -> Result<Option<&'a str>, WrongType> {
    carrier.string(field.name())
}

/// Reads `Provider`, as text and parsed.
pub(super) fn provider<'a>(root: &Object<'a>) -> Result<(&'a str, Provider), Problem> {
    let name = given(root, "Provider")?;
    let unknown = |_invalid| Problem::of_connect(ConnectError::UnknownProvider, String::new());
    let provider = Provider::parse(name).map_err(unknown)?;
    request_log::note_provider(provider.as_str());
    Ok((name, provider))
}

/// Like `parameters`, for tokens that the caller supplies. Checks them by the provider's configuration.
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

/// Reads the values of the parameters in the provider's URLs.
pub(super) fn parameters(root: &Object<'_>) -> Result<BTreeMap<String, String>, Problem> {
    let Some(given) = root.object("Parameters")? else { return Ok(BTreeMap::new()) };
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Ok(given.strings()?.into_iter().map(owned).collect())
}

/// Reads the key of the record that is connected again, if there is one.
pub(super) fn record_key(root: &Object<'_>) -> Result<Option<RetrievalKey>, Problem> {
    let Some(text) = unquoted(root, "Key")? else { return Ok(None) };
    let unknown = || Problem::of_connect(ConnectError::UnknownKey, String::new());
    own_key(text)?.map(Some).ok_or_else(unknown)
}

/// Reads a required text.
pub(super) fn given<'a>(root: &Object<'a>, name: &'static str) -> Result<&'a str, Problem> {
    optional(root, name)?.ok_or_else(|| Problem::required(name))
}

/// Reads a text. Returns `None` if it is empty.
pub(super) fn optional<'a>(root: &Object<'a>, name: &str) -> Result<Option<&'a str>, Problem> {
    Ok(root.string(name)?.filter(|text| !text.is_empty()))
}
