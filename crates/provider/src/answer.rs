//! Answers of a provider, and the tokens of a token endpoint's.
//!
//! Invariant: an answer with usable tokens and no error is a success, even if other parts of it are odd, because
//! otherwise a rotated token would be lost, and the grant with it. Odd parts are left out and never guessed. No answer
//! causes a panic.

use std::{collections::BTreeMap, fmt};

use model::{CauseKind, SecretText};

use crate::{Refusal, Registration, TimeUnit, form, json::Json, verdict};

/// The maximum lifetime of a token, in seconds: ten years. Longer ones are ignored.
pub(crate) const LIFE_MAX: f64 = 315_360_000.0;

/// The maximum length of a kept value, in bytes.
const MAX_KEPT_BYTES: usize = 2048;

/// An answer of a provider.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The header `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The header `Retry-After`.
    pub retry_after: Option<&'a str>,
    /// The whole body, without its content coding. A truncated form looks like a complete one, so pass only complete
    /// bodies. The caller bounds the length.
    pub body: &'a [u8],
    /// The time of receipt, in seconds since 1970, for a `Retry-After` that is a date.
    pub received: i64,
}

impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The tokens of a successful answer (RFC 6749 §5.1).
#[derive(Clone, Debug)]
pub struct GrantedTokens {
    /// The access token: 1 byte to 64 KiB, without U+0000.
    pub access_token: SecretText,
    /// The refresh token, within the same limits. If it is `None`, the one that was sent stays valid (RFC 6749 §6).
    pub refresh_token: Option<SecretText>,
    /// The lifetime of the access token in seconds, 0 to ten years. `None` if the answer has none or an invalid one.
    pub expires_in: Option<i64>,
    /// The lifetime of the refresh token in seconds, likewise. Zero is `None`, because providers that write it mean
    /// "without end".
    pub refresh_expires_in: Option<i64>,
    /// The scope, as the provider writes it.
    pub scope: Option<String>,
    /// The type of the access token, such as `Bearer`. It is optional, unlike in RFC 6749 §5.1.
    pub token_type: Option<String>,
    /// The ID token, not verified.
    pub id_token: Option<SecretText>,
    /// Other kept values ([`crate::AnswerRules::keep`]), by their paths.
    pub kept: BTreeMap<String, SecretText>,
}

impl Registration {
    /// Reads the tokens of an answer, or the reason why there are none.
    ///
    /// A body that begins like an object is JSON, and any other is a form, regardless of `Content-Type`, unless that is
    /// HTML or XML. The last of repeated JSON members wins. A token with two different values makes the answer
    /// unreadable, because one of them may be spent.
    ///
    /// # Errors
    /// The answer has no tokens. The class is by the table at [`crate::RefusalClass`].
    pub fn read_tokens(&self, answer: &Answer<'_>) -> Result<GrantedTokens, Refusal> {
        let body = read_body(answer);
        let is_success = self.answer.status.contains(&answer.status);
        match body {
            Some(body) if is_success && !self.says_error(&body) => {
                self.tokens(&body).map_err(Refusal::ambiguous)
            }
            body => Err(verdict::of(self, answer, body.as_ref())),
        }
    }

    /// Whether the body reports a failure, regardless of the status.
    pub(crate) fn says_error(&self, body: &Json) -> bool {
        let is_no = |value: &Json| match value {
            Json::Bool(value) => !value,
            Json::Number(value) => *value == 0.0,
            Json::Text(value) => value.eq_ignore_ascii_case("false"),
            _ => false,
        };
        let has_error = body.at("error").is_some_and(|error| match error {
            Json::Null => false,
            Json::Text(text) => !text.is_empty(),
            Json::Array(values) => !values.is_empty(),
            Json::Object(members) => !members.is_empty(),
            other => !is_no(other),
        });
        has_error
            || self.errors.ok_field.as_deref().and_then(|path| body.at(path)).is_some_and(is_no)
    }

    fn tokens(&self, body: &Json) -> Result<GrantedTokens, CauseKind> {
        let rules = &self.answer;
        let access_token = token(body, &rules.access_token)?.ok_or(CauseKind::Unreadable)?;
        let unit = rules.expires_in_unit;
        let life = |path| life(body.at(path)?, unit);
        let text = |path| body.at(path).and_then(Json::text).filter(|text| !text.is_empty());
        Ok(GrantedTokens {
            access_token,
            refresh_token: token(body, &rules.refresh_token)?,
            expires_in: life(&rules.expires_in),
            refresh_expires_in: life(&rules.refresh_expires_in).filter(|life| *life != 0),
            scope: body.at(&rules.scope).and_then(scope),
            token_type: text("token_type").map(str::to_owned),
            id_token: text(&rules.id_token).map(SecretText::from),
            kept: rules.keep.iter().filter_map(|path| kept(body, path)).collect(),
        })
    }
}

/// Parses the body, if it is an object or a form.
pub(crate) fn read_body(answer: &Answer<'_>) -> Option<Json> {
    let body = answer.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(answer.body);
    let text = str::from_utf8(body).ok()?.trim();
    if text.starts_with('{') {
        return Json::read(text.as_bytes());
    }
    let content_type = answer.content_type.unwrap_or_default().to_ascii_lowercase();
    let is_markup =
        text.starts_with('<') || ["html", "xml"].iter().any(|name| content_type.contains(name));
    if is_markup || !text.contains('=') { None } else { form::read(text) }
}

/// The token at a path.
fn token(body: &Json, path: &str) -> Result<Option<SecretText>, CauseKind> {
    let values = body.all(path).into_iter().filter_map(Json::text);
    let mut values = values.filter(|text| !text.is_empty());
    let Some(token) = values.next() else { return Ok(None) };
    if values.any(|other| other != token) || token.contains('\0') {
        return Err(CauseKind::Unreadable);
    }
    Ok(Some(SecretText::from(token)))
}

/// A kept value with its path, if it is a text within the limit.
fn kept(body: &Json, path: &str) -> Option<(String, SecretText)> {
    let text = body.at(path)?.text().filter(|text| (1..=MAX_KEPT_BYTES).contains(&text.len()))?;
    Some((path.to_owned(), SecretText::from(text)))
}

/// A lifetime in whole seconds.
fn life(value: &Json, unit: TimeUnit) -> Option<i64> {
    let number = match value {
        Json::Number(number) => *number,
        Json::Text(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    let seconds = match unit {
        TimeUnit::Seconds => number,
        TimeUnit::Milliseconds => number / 1000.0,
    };
    (0.0..=LIFE_MAX).contains(&seconds).then_some(seconds as i64)
}

/// A scope as text. A list of scopes is joined by spaces (RFC 6749 §3.3).
pub(crate) fn scope(value: &Json) -> Option<String> {
    let scope = match value {
        Json::Text(text) => text.to_string(),
        Json::Array(values) => values.iter().filter_map(Json::text).collect::<Vec<_>>().join(" "),
        _ => return None,
    };
    (!scope.is_empty()).then_some(scope)
}

#[cfg(test)]
mod tests;
