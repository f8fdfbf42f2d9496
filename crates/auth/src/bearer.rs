//! JSON Web Tokens (RFC 7519) that are bearer tokens or id_tokens, verified as RFC 8725 advises.
//!
//! Invariant: no claim is read before the signature is verified, with a key of the issuer and an algorithm that this key
//! allows. Keys and URLs in the token are ignored.

use aws_lc_rs::constant_time;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, crypto};
use model::SecretText;
use serde_json::{Map, Value};

use crate::jwks::{KeySet, VerificationKey};

const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The tolerance for the issuer's clock, in seconds.
const LEEWAY_SECONDS: f64 = 60.0;

/// The maximum number of keys to try for a token.
const MAX_TRIED_KEYS: usize = 8;

/// The accepted algorithms. Symmetric algorithms and `none` are missing, so a token with one is rejected before any key
/// is used.
const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The prefix of SuperOffice's own claims.
const CLAIM_PREFIX: &str = "http://schemes.superoffice.net/identity/";

/// The maximum length of `sub`, in bytes (OpenID Connect Core 1.0 §2).
const MAX_SUBJECT_BYTES: usize = 255;

/// Verifies tokens of one issuer for one audience.
#[derive(Debug, Clone)]
pub struct JwtVerifier {
    issuer: Option<String>,
    audience: String,
}

/// The claims of a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the bearer's name at the issuer; never empty.
    pub subject: String,
    /// `ctx`: the tenant of the token.
    pub tenant: Option<String>,
    /// `associateid`: the user's number.
    pub associate_id: Option<i64>,
    /// `is_administrator`; false if the claim is missing.
    pub is_administrator: bool,
    /// `upn`: the user's principal name.
    pub upn: Option<String>,
    /// `email`: the user's address.
    pub email: Option<String>,
}

/// Why a token is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// The set lacks the key that the token names, or the token names none and no key verifies it. A newer set may have
    /// the key.
    #[error("the token is signed with a key that is not known")]
    UnknownKey,
    /// The text is not three parts of unpadded base64url with JSON objects (RFC 7515 §7.1).
    #[error("the token is not a JSON Web Token")]
    Malformed,
    /// The algorithm is not accepted, or not for this key (RFC 8725 §3.1).
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// The signature is wrong.
    #[error("the token's signature does not hold")]
    Signature,
    /// `exp` has passed (RFC 7519 §4.1.4).
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future (RFC 7519 §4.1.5).
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is missing or names another issuer (RFC 7519 §4.1.1).
    #[error("the token is of another issuer")]
    Issuer,
    /// `aud` is missing or names another audience (RFC 7519 §4.1.3).
    #[error("the token is for another audience")]
    Audience,
    /// A claim is missing or has the wrong type.
    #[error("the token lacks a claim, or has one that cannot be read")]
    Claims,
    /// `typ` names another type (RFC 8725 §3.11).
    #[error("the token is of another type")]
    Type,
    /// The token has `crit`, and no extension is supported (RFC 7515 §4.1.11).
    #[error("the token needs an extension that is not understood")]
    Critical,
    /// The token is longer than 16 KiB.
    #[error("the token is too long")]
    TooLong,
}

impl JwtVerifier {
    /// Expects this `iss`, and this text in `aud`. Neither may be empty.
    pub fn new(issuer: String, audience: String) -> Self {
        Self { issuer: Some(issuer), audience }
    }

    /// Expects any `iss`, and this text in `aud`. Use it only for providers whose `iss` differs by user and whose keys
    /// belong to them alone, because only the keys identify the issuer.
    pub fn of_any_issuer(audience: String) -> Self {
        Self { issuer: None, audience }
    }

    /// Verifies a bearer token at the time `now`: form, key, signature, then claims.
    ///
    /// The key is chosen by `kid`. Without `kid`, up to eight keys of the algorithm are tried. `exp` and `nbf` may be
    /// off by 60 seconds.
    ///
    /// # Errors
    /// The first rule that the token breaks, in the order of verification.
    pub fn verify(
        &self,
        token: &SecretText,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Claims, JwtError> {
        let payload = signed(token, keys, &["jwt", "at+jwt"])?;
        self.check_source(&payload)?;
        check_times(&payload, now)?;
        Claims::read(&payload)
    }

    /// Verifies an id_token (OpenID Connect Core 1.0 §3.1.3.7) at the time `now`. The audience is the id of the client.
    /// Returns all claims, including `sub`. Compare `nonce` with [`has_claim`].
    ///
    /// The rules are those of `verify`, and two more. `iat` may be at most 60 seconds in the future. A token for several
    /// audiences must name the client in `azp`.
    ///
    /// # Errors
    /// The first rule that the token breaks, in the order of verification.
    pub fn verify_id_token(
        &self,
        token: &SecretText,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Map<String, Value>, JwtError> {
        // An access token is not an id_token (RFC 9068 §5).
        let payload = signed(token, keys, &["jwt"])?;
        self.check_source(&payload)?;
        let has_many =
            payload.get("aud").and_then(Value::as_array).is_some_and(|aud| aud.len() > 1);
        let is_for_us = match payload.get("azp") {
            Some(party) => *party == self.audience.as_str(),
            None => !has_many,
        };
        if !is_for_us {
            return Err(JwtError::Audience);
        }
        check_times(&payload, now)?;
        let issued = issued_at(payload.get("iat").ok_or(JwtError::Claims)?)?;
        if now.as_duration().as_secs_f64() + LEEWAY_SECONDS < issued {
            return Err(JwtError::NotYetValid);
        }
        let subject = payload.get("sub").and_then(Value::as_str).unwrap_or_default();
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err(JwtError::Claims);
        }
        Ok(payload)
    }

    /// Checks `iss` and `aud`.
    fn check_source(&self, payload: &Map<String, Value>) -> Result<(), JwtError> {
        let issuer = payload.get("iss").and_then(Value::as_str).unwrap_or_default();
        let is_right = match &self.issuer {
            Some(expected) => issuer == expected,
            None => !issuer.is_empty(),
        };
        if !is_right {
            return Err(JwtError::Issuer);
        }
        let is_for_us = match payload.get("aud") {
            Some(Value::Array(many)) => many.iter().any(|one| one == self.audience.as_str()),
            Some(one) => one == self.audience.as_str(),
            None => false,
        };
        if is_for_us { Ok(()) } else { Err(JwtError::Audience) }
    }
}

/// Whether a claim equals this text, compared in constant time. For the `nonce` of an id_token (OpenID Connect Core 1.0
/// §3.1.3.7) and for its `sub` (§12.2).
pub fn has_claim(claims: &Map<String, Value>, name: &str, text: &SecretText) -> bool {
    let found = claims.get(name).and_then(Value::as_str).unwrap_or_default().as_bytes();
    constant_time::verify_slices_are_equal(found, text.expose().as_bytes()).is_ok()
}

/// Verifies a signature and returns the claims. The token's type, if it has one, must be in `types`.
fn signed(
    token: &SecretText,
    keys: &KeySet,
    types: &[&str],
) -> Result<Map<String, Value>, JwtError> {
    let token = token.expose();
    if token.len() > MAX_TOKEN_BYTES {
        return Err(JwtError::TooLong);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(JwtError::Malformed)?;
    // With a fourth part the payload has a dot, which is not base64.
    let (header, payload) = (object(&decode(header)?)?, decode(payload)?);
    decode(signature)?;

    let algorithm = accepted_algorithm(&header, types)?;
    let holds = |key: &&VerificationKey| {
        let verdict = crypto::verify(signature, message.as_bytes(), &key.key, algorithm);
        matches!(verdict, Ok(true))
    };
    if !candidates(&header, algorithm, keys)?.iter().any(holds) {
        let is_named = header.contains_key("kid");
        return Err(if is_named { JwtError::Signature } else { JwtError::UnknownKey });
    }
    object(&payload)
}

/// Checks `exp` and `nbf`.
fn check_times(payload: &Map<String, Value>, now: Timestamp) -> Result<(), JwtError> {
    let now = now.as_duration().as_secs_f64();
    if now >= seconds(payload.get("exp").ok_or(JwtError::Claims)?)? + LEEWAY_SECONDS {
        return Err(JwtError::Expired);
    }
    if let Some(not_before) = payload.get("nbf")
        && now + LEEWAY_SECONDS < seconds(not_before)?
    {
        return Err(JwtError::NotYetValid);
    }
    Ok(())
}

impl Claims {
    /// Reads the claims. `sub` and the tenant must be readable. Other claims that are not readable count as missing.
    fn read(payload: &Map<String, Value>) -> Result<Self, JwtError> {
        let own = |name: &str| payload.get(&format!("{CLAIM_PREFIX}{name}"));
        let text = |name: &str| own(name).and_then(Value::as_str).map(str::to_owned);
        let subject = payload.get("sub").and_then(Value::as_str).unwrap_or_default();
        if subject.is_empty() {
            return Err(JwtError::Claims);
        }
        let tenant = text("ctx");
        // A tenant that is not readable must not count as missing.
        if tenant.is_none() && own("ctx").is_some() {
            return Err(JwtError::Claims);
        }
        let associate_id = own("associateid").and_then(|id| match id {
            Value::String(decimal) => decimal.parse().ok(),
            other => other.as_i64(),
        });
        let is_administrator = own("is_administrator")
            .is_some_and(|value| *value == true || *value == "true" || *value == "True");
        Ok(Self {
            subject: subject.to_owned(),
            tenant,
            associate_id,
            is_administrator,
            upn: text("upn"),
            email: text("email"),
        })
    }
}

/// Checks the header except the key. Returns its algorithm.
fn accepted_algorithm(header: &Map<String, Value>, types: &[&str]) -> Result<Algorithm, JwtError> {
    if header.contains_key("crit") {
        return Err(JwtError::Critical);
    }
    if let Some(kind) = header.get("typ") {
        let kind = kind.as_str().ok_or(JwtError::Type)?.to_ascii_lowercase();
        // The prefix "application/" is optional (RFC 7515 §4.1.9).
        if !types.contains(&kind.strip_prefix("application/").unwrap_or(&kind)) {
            return Err(JwtError::Type);
        }
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or(JwtError::Malformed)?;
    name.parse().ok().filter(|algorithm| ALGORITHMS.contains(algorithm)).ok_or(JwtError::Algorithm)
}

/// The keys to try, at least one.
fn candidates<'a>(
    header: &Map<String, Value>,
    algorithm: Algorithm,
    keys: &'a KeySet,
) -> Result<Vec<&'a VerificationKey>, JwtError> {
    let kid = match header.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str().ok_or(JwtError::Malformed)?),
    };
    let is_named = |key: &&VerificationKey| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
    let mut named: Vec<_> = keys.keys().iter().filter(is_named).collect();
    let is_known = kid.is_some() && !named.is_empty();
    named.retain(|key| key.algorithms.contains(&algorithm));
    named.truncate(MAX_TRIED_KEYS);
    match (named.is_empty(), is_known) {
        (false, _) => Ok(named),
        (true, true) => Err(JwtError::Algorithm),
        (true, false) => Err(JwtError::UnknownKey),
    }
}

/// Reads a NumericDate: seconds since 1970, also with a fraction (RFC 7519 §2).
fn seconds(claim: &Value) -> Result<f64, JwtError> {
    let latest = Timestamp::MAX.as_duration().as_secs_f64();
    claim.as_f64().filter(|time| (0.0..=latest).contains(time)).ok_or(JwtError::Claims)
}

/// Reads an `iat`, which SuperOffice writes as text
/// (<https://docs.superoffice.com/en/api/authentication/online/validate-security-tokens.html>).
fn issued_at(claim: &Value) -> Result<f64, JwtError> {
    match claim.as_str().and_then(|text| text.parse::<u64>().ok()) {
        Some(number) => seconds(&number.into()),
        None => seconds(claim),
    }
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_no_base64| JwtError::Malformed)
}

fn object(json: &[u8]) -> Result<Map<String, Value>, JwtError> {
    serde_json::from_slice(json).map_err(|_no_object| JwtError::Malformed)
}

#[cfg(test)]
mod tests;
