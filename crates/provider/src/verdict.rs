//! The meaning of an answer without tokens.
//!
//! Invariant: a grant is dead only if the provider confirms it by an error word. A timeout, a firewall, a mistyped
//! secret or an outage never makes a grant dead.

use model::{CauseKind, GrantCause};
use thiserror::Error;

use crate::{Answer, ErrorWords, Registration, json::Json, retry_after};

/// Microsoft's error numbers that a user can resolve: multi-factor authentication, its enrollment, and conditional
/// access.
const POLICIES: [u32; 3] = [50076, 50079, 53003];

/// Why there are no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no tokens: {cause}")]
pub struct Refusal {
    /// The class, which decides how to proceed.
    pub class: RefusalClass,
    /// The cause, from a fixed list. It contains nothing of the provider's text except a number.
    pub cause: GrantCause,
    /// The pause that the provider asks for, 1 to 3600 seconds.
    pub retry_after: Option<u32>,
}

impl Refusal {
    pub(crate) fn ambiguous(kind: CauseKind) -> Self {
        Self { class: RefusalClass::Ambiguous, cause: kind.into(), retry_after: None }
    }
}

/// The class of an answer without tokens.
///
/// Redirects are checked first, then the operator's words, then `invalid_client`, then 429 and 503 with `Retry-After`,
/// then the other words of the standard. With a status of 500 and above, a word of the standard makes no grant dead,
/// because a failing server may write anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalClass {
    /// The grant is dead, confirmed by `invalid_grant` (RFC 6749 §5.2) or a word of [`ErrorWords::dead`].
    Dead,
    /// The user has to act at the provider. An hourly retry makes sense, because a policy may change.
    Interaction,
    /// `invalid_client` (RFC 6749 §5.2). Only this class blocks a provider.
    ClientBlocked,
    /// Another fault of the client. It concerns this record only, and the grant may be alive.
    ClientFault,
    /// The provider is busy: 429, 503 with `Retry-After`, `slow_down`, `temporarily_unavailable`, or a word of
    /// [`ErrorWords::busy`]. Usually no token was spent.
    Busy,
    /// The outcome is unknown: 408, 499, 5xx, or a success without readable tokens.
    Ambiguous,
    /// Another status without a known word, such as a firewall's 403, or a redirect. It says nothing about the grant.
    Other,
}

/// Classifies an answer without tokens.
pub(crate) fn of(registration: &Registration, answer: &Answer<'_>, body: Option<&Json>) -> Refusal {
    let retry_after =
        answer.retry_after.and_then(|value| retry_after::retry_after(value, answer.received));
    let (class, kind) = class(registration, answer.status, body, retry_after.is_some());
    let number = body.and_then(number);
    Refusal { class, cause: GrantCause { kind, number }, retry_after }
}

fn class(
    registration: &Registration,
    status: u16,
    body: Option<&Json>,
    is_pause_wanted: bool,
) -> (RefusalClass, CauseKind) {
    use RefusalClass::{Ambiguous, Busy, ClientBlocked, ClientFault, Dead, Interaction, Other};

    if (300..400).contains(&status) {
        return (Other, CauseKind::Redirect);
    }
    if let Some(verdict) = body.and_then(|body| own_word(&registration.errors, body)) {
        return verdict;
    }
    let code = body.and_then(|body| body.at("error")).and_then(Json::text).unwrap_or_default();
    if code == "invalid_client" {
        return (ClientBlocked, CauseKind::InvalidClient);
    }
    if status == 429 || code == "slow_down" {
        return (Busy, CauseKind::RateLimited);
    }
    if status == 503 && (is_pause_wanted || code == "temporarily_unavailable") {
        return (Busy, CauseKind::ServerError);
    }
    if code == "temporarily_unavailable" {
        return (Busy, CauseKind::RateLimited);
    }
    let fault = match code {
        "unauthorized_client" => Some(CauseKind::UnauthorizedClient),
        "invalid_scope" => Some(CauseKind::InvalidScope),
        "invalid_request"
        | "unsupported_grant_type"
        | "unsupported_token_type"
        | "invalid_target" => Some(CauseKind::InvalidRequest),
        _ => None,
    };
    if let Some(kind) = fault {
        return (ClientFault, kind);
    }
    if status >= 500 || code == "server_error" {
        return (Ambiguous, CauseKind::ServerError);
    }
    if body.is_some_and(|body| wants_user(code, body)) {
        return (Interaction, CauseKind::Interaction);
    }
    if code == "invalid_grant" {
        return (Dead, CauseKind::InvalidGrant);
    }
    match status {
        200..300 => (Ambiguous, CauseKind::Unreadable),
        401 => (ClientFault, CauseKind::UnauthorizedClient),
        404 | 405 | 415 => (ClientFault, CauseKind::OtherStatus),
        408 | 499 => (Ambiguous, CauseKind::OtherStatus),
        _ => (Other, CauseKind::OtherStatus),
    }
}

/// The class by the operator's words.
fn own_word(words: &ErrorWords, body: &Json) -> Option<(RefusalClass, CauseKind)> {
    let beside_ok = words.ok_field.as_deref().and_then(|path| path.rsplit_once('.'));
    let beside_ok = beside_ok.map(|(parent, _)| format!("{parent}.error"));
    let places = ["error_description", "error"].into_iter().chain(beside_ok.as_deref());
    let mut said = places.filter_map(|path| body.at(path)?.text());
    said.find_map(|said| {
        [
            (&words.busy, RefusalClass::Busy, CauseKind::RateLimited),
            (&words.client, RefusalClass::ClientFault, CauseKind::UnauthorizedClient),
            (&words.dead, RefusalClass::Dead, CauseKind::InvalidGrant),
        ]
        .into_iter()
        .find(|(words, ..)| words.iter().any(|word| word == said))
        .map(|(_, class, kind)| (class, kind))
    })
}

/// Whether the user has to act: by the words of OpenID Connect Core §3.1.2.6, or by Microsoft's `suberror` or error
/// number with `invalid_grant`.
fn wants_user(code: &str, body: &Json) -> bool {
    const CODES: [&str; 4] = [
        "interaction_required",
        "login_required",
        "consent_required",
        "account_selection_required",
    ];
    const SUBERRORS: [&str; 2] = ["basic_action", "additional_action"];

    let suberror = body.at("suberror").and_then(Json::text).unwrap_or_default();
    let is_refused = code == "invalid_grant";
    CODES.contains(&code)
        || is_refused && SUBERRORS.contains(&suberror)
        || is_refused && numbers(body).any(|number| POLICIES.contains(&number))
}

/// The provider's own error number. That of a policy takes precedence.
fn number(body: &Json) -> Option<u32> {
    numbers(body).find(|number| POLICIES.contains(number)).or_else(|| numbers(body).next())
}

/// Microsoft's error numbers, in `error_codes` and again in the description, such as `AADSTS50173`.
fn numbers(body: &Json) -> impl Iterator<Item = u32> {
    let codes = match body.at("error_codes") {
        Some(Json::Array(codes)) => &codes[..],
        _ => &[],
    };
    let codes = codes.iter().filter_map(|code| match code {
        Json::Number(code) if code.fract() == 0.0 => format!("{code}").parse().ok(),
        _ => None,
    });
    codes.chain(described_number(body))
}

fn described_number(body: &Json) -> Option<u32> {
    let text = body.at("error_description")?.text()?;
    let (_, rest) = text.split_once("AADSTS")?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests;
