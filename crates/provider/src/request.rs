//! Requests to a provider: the authorization URL, code exchange, refresh, revocation and introspection.
//!
//! Invariant: a secret is in the body or in the `Authorization` header, never in a URL. Every copy of it in this module
//! is wiped.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::SecretText;
use zeroize::Zeroizing;

use crate::{
    AssertionKey, Audience, BodyFormat, ClientAuth, Registration, assertion::ASSERTION_TYPE, form,
};

/// The maximum number of bytes for a byte in JSON: `\u0000`.
const JSON_MAX: usize = 6;

/// The parts of an authorization URL (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1).
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationRequest<'a> {
    /// The redirect URI, exactly as it will be in the exchange.
    pub redirect_uri: &'a str,
    /// The scopes; `None` for those of the registration.
    pub scopes: Option<&'a [String]>,
    /// The state, which binds the answer to the user's browser (RFC 6749 §10.12).
    pub state: &'a str,
    /// The nonce, which binds the ID token to this request.
    pub nonce: Option<&'a str>,
    /// The `S256` challenge of a PKCE verifier ([`crate::pkce::challenge`]).
    pub code_challenge: Option<&'a str>,
}

/// An authorization code from a user (RFC 6749 §4.1.3).
#[derive(Clone, Copy, Debug)]
pub struct CodeExchange<'a> {
    /// The code.
    pub code: &'a SecretText,
    /// The redirect URI of the authorization request.
    pub redirect_uri: &'a str,
    /// The PKCE verifier (RFC 7636 §4.5).
    pub pkce_verifier: Option<&'a SecretText>,
}

/// The proof of the client's identity.
#[derive(Clone, Copy, Debug)]
pub enum Proof<'a> {
    /// Nothing: the client is public, or its TLS certificate is the proof.
    None,
    /// A secret.
    Secret(&'a SecretText),
    /// An assertion, signed for this request.
    Assertion {
        /// The key to sign with.
        key: &'a AssertionKey,
        /// The time, in seconds since 1970.
        issued: i64,
        /// The unique identifier of the assertion (RFC 7519 §4.1.7).
        id: &'a str,
    },
}

/// The kind of a token to revoke or introspect (RFC 7009 §2.1, RFC 7662 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// An access token.
    Access,
    /// A refresh token. Most providers also revoke its access tokens.
    Refresh,
}

/// A POST request, ready to be sent. Its secrets are wiped on drop and never printed.
#[derive(Clone, Debug)]
pub struct ProviderRequest {
    /// The URL.
    pub url: String,
    /// The value of the header `Authorization`.
    pub authorization: Option<SecretText>,
    /// The value of the header `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: SecretText,
}

impl Registration {
    /// The URL at which the user grants access; `None` without an authorization endpoint.
    pub fn authorization_url(&self, request: &AuthorizationRequest<'_>) -> Option<String> {
        let endpoint = self.endpoints.authorization.as_deref()?;
        let scopes = request.scopes.unwrap_or(&self.scopes).join(&self.request.scope_separator);
        let mut fields = self.fields([
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", request.redirect_uri),
            ("scope", &scopes),
            ("state", request.state),
            ("nonce", request.nonce.unwrap_or_default()),
            ("code_challenge", request.code_challenge.unwrap_or_default()),
            ("code_challenge_method", request.code_challenge.map_or("", |_| "S256")),
        ]);
        fields.add(&self.request.authorize);
        let separator = match endpoint.split_once('?') {
            None => "?",
            Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        Some(format!("{endpoint}{separator}{}", *form::write(fields.present())))
    }

    /// Exchanges a code for tokens (RFC 6749 §4.1.3). Send a code only once, because a second use may revoke the tokens
    /// of the first.
    pub fn exchange(&self, code: &CodeExchange<'_>, proof: Proof<'_>) -> ProviderRequest {
        let secret = self.prove(&self.endpoints.token, proof);
        let secret = secret.as_ref();
        let verifier = code.pkce_verifier.map_or("", SecretText::expose);
        let mut fields = self.fields([
            ("grant_type", "authorization_code"),
            ("code", code.code.expose()),
            ("redirect_uri", code.redirect_uri),
            ("code_verifier", verifier),
        ]);
        self.authenticate(&mut fields, secret);
        fields.add(&self.request.exchange);
        self.request_to(&self.endpoints.token, &fields, secret)
    }

    /// Exchanges a refresh token for new tokens (RFC 6749 §6). The request names no scope, so the scope stays the same.
    pub fn refresh(&self, refresh_token: &SecretText, proof: Proof<'_>) -> ProviderRequest {
        let endpoint = self.endpoints.refresh.as_ref().unwrap_or(&self.endpoints.token);
        let secret = self.prove(endpoint, proof);
        let secret = secret.as_ref();
        let mut fields = self
            .fields([("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())]);
        self.authenticate(&mut fields, secret);
        fields.add(&self.request.refresh);
        self.request_to(endpoint, &fields, secret)
    }

    /// Revokes a token (RFC 7009 §2.1); `None` without a revocation endpoint.
    pub fn revoke(
        &self,
        token: &SecretText,
        kind: TokenKind,
        proof: Proof<'_>,
    ) -> Option<ProviderRequest> {
        let endpoint = self.endpoints.revocation.as_deref()?;
        Some(self.about_token(endpoint, token, kind, proof))
    }

    /// Introspects a token (RFC 7662 §2.1); `None` without an introspection endpoint.
    pub fn introspect(
        &self,
        token: &SecretText,
        kind: TokenKind,
        proof: Proof<'_>,
    ) -> Option<ProviderRequest> {
        let endpoint = self.endpoints.introspection.as_deref()?;
        Some(self.about_token(endpoint, token, kind, proof))
    }

    fn about_token(
        &self,
        endpoint: &str,
        token: &SecretText,
        kind: TokenKind,
        proof: Proof<'_>,
    ) -> ProviderRequest {
        let secret = self.prove(endpoint, proof);
        let secret = secret.as_ref();
        let hint = match kind {
            TokenKind::Access => "access_token",
            TokenKind::Refresh => "refresh_token",
        };
        let mut fields = self.fields([("token", token.expose()), ("token_type_hint", hint)]);
        self.authenticate(&mut fields, secret);
        self.request_to(endpoint, &fields, secret)
    }

    fn fields<'a, const N: usize>(&'a self, standard: [(&'a str, &'a str); N]) -> Fields<'a> {
        let mut fields = Fields { names: &self.request.names, fields: Vec::with_capacity(N + 2) };
        for (name, value) in standard {
            fields.push(name, value);
        }
        fields
    }

    /// The secret, or a new assertion for this endpoint.
    fn prove(&self, endpoint: &str, proof: Proof<'_>) -> Option<SecretText> {
        match proof {
            Proof::None => None,
            Proof::Secret(secret) => Some(secret.clone()),
            Proof::Assertion { key, issued, id } => {
                let audience = match &self.audience {
                    Audience::TokenEndpoint => &self.endpoints.token,
                    Audience::Endpoint => endpoint,
                    Audience::Text(text) => text,
                };
                Some(key.sign(&self.client_id, audience, issued, id))
            }
        }
    }

    /// Adds the client's authentication to the body.
    fn authenticate<'a>(&'a self, fields: &mut Fields<'a>, secret: Option<&'a SecretText>) {
        match self.client_auth {
            ClientAuth::Basic | ClientAuth::BasicRaw | ClientAuth::BasicSecret => {}
            ClientAuth::Post => {
                fields.push("client_id", &self.client_id);
                fields.push("client_secret", secret.map_or("", SecretText::expose));
            }
            ClientAuth::PrivateKeyJwt => {
                fields.push("client_id", &self.client_id);
                fields.push("client_assertion_type", ASSERTION_TYPE);
                fields.push("client_assertion", secret.map_or("", SecretText::expose));
            }
            ClientAuth::Tls | ClientAuth::None => fields.push("client_id", &self.client_id),
        }
    }

    fn request_to(
        &self,
        url: &str,
        fields: &Fields<'_>,
        secret: Option<&SecretText>,
    ) -> ProviderRequest {
        let secret = secret.map_or("", SecretText::expose);
        let raw = |text: &str, target: &mut String| target.push_str(text);
        let authorization = match self.client_auth {
            ClientAuth::Basic => Some(basic(&self.client_id, secret, form::encode)),
            ClientAuth::BasicRaw => Some(basic(&self.client_id, secret, raw)),
            ClientAuth::BasicSecret => Some(basic(secret, "", raw)),
            ClientAuth::Post | ClientAuth::PrivateKeyJwt | ClientAuth::Tls | ClientAuth::None => {
                None
            }
        };
        let (content_type, body) = match self.request.body {
            BodyFormat::Form => {
                ("application/x-www-form-urlencoded", form::write(fields.present()))
            }
            BodyFormat::Json => ("application/json", json(fields.present())),
        };
        ProviderRequest {
            url: url.to_owned(),
            authorization,
            content_type,
            body: SecretText::from(body.as_str()),
        }
    }
}

/// The fields of a request in their order, by the provider's names. Empty fields are left out.
struct Fields<'a> {
    names: &'a BTreeMap<String, String>,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Fields<'a> {
    /// Adds a field of the standard.
    fn push(&mut self, name: &'a str, value: &'a str) {
        let name = self.names.get(name).map_or(name, String::as_str);
        self.fields.push((name, value));
    }

    /// Adds the fields of the configuration.
    fn add(&mut self, extra: &'a BTreeMap<String, String>) {
        for (name, value) in extra {
            match self.fields.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => self.fields.push((name, value)),
            }
        }
    }

    fn present(&self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        self.fields.iter().copied().filter(|(name, value)| !name.is_empty() && !value.is_empty())
    }
}

/// HTTP Basic (RFC 7617 §2). A client without a secret has an empty password.
fn basic(user: &str, password: &str, encode: impl Fn(&str, &mut String)) -> SecretText {
    let room = (user.len() + password.len()) * form::ENCODED_MAX + 1;
    let mut pair = Zeroizing::new(String::with_capacity(room));
    encode(user, &mut pair);
    pair.push(':');
    encode(password, &mut pair);
    let mut value = Zeroizing::new(String::with_capacity("Basic ".len() + room.div_ceil(3) * 4));
    value.push_str("Basic ");
    STANDARD.encode_string(pair.as_bytes(), &mut value);
    SecretText::from(value.as_str())
}

/// Writes the fields as a JSON object.
fn json<'a>(fields: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Zeroizing<String> {
    let room = fields.clone().map(|(name, value)| (name.len() + value.len()) * JSON_MAX + 6);
    let mut text = Zeroizing::new(String::with_capacity(room.sum::<usize>() + 2));
    text.push('{');
    for (name, value) in fields {
        if text.len() > 1 {
            text.push(',');
        }
        push_json(name, &mut text);
        text.push(':');
        push_json(value, &mut text);
    }
    text.push('}');
    text
}

/// Appends a JSON string (RFC 8259 §7).
fn push_json(text: &str, target: &mut String) {
    target.push('"');
    for letter in text.chars() {
        match letter {
            '"' => target.push_str("\\\""),
            '\\' => target.push_str("\\\\"),
            '\0'..='\x1f' => {
                let code = letter as usize;
                let digits = b"0123456789abcdef";
                target.push_str("\\u00");
                target.push(digits[code >> 4].into());
                target.push(digits[code & 15].into());
            }
            _ => target.push(letter),
        }
    }
    target.push('"');
}

#[cfg(test)]
mod tests;
