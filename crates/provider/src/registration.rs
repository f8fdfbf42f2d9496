//! An OAuth client at a provider, and how that provider differs from the standard.
//!
//! Invariant: a registration holds no secret. Each request gets the secret or key separately. The rules are read from
//! and written to configurations by the names of their fields.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use model::{SecretText, wiping_stack};
use serde::{Deserialize, Serialize};

/// The prefix of digests, so that they differ from digests for other purposes.
const CLIENT_DOMAIN: &str = "latchkey: client of a provider";
const CODE_DOMAIN: &str = "latchkey: code of a provider";

/// An OAuth client (RFC 6749 §2) at a provider, and the peculiarities of that provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The endpoints.
    pub endpoints: Endpoints,
    /// The client's identifier (RFC 6749 §2.2).
    pub client_id: String,
    /// How the client authenticates.
    pub client_auth: ClientAuth,
    /// The audience of its assertions.
    pub audience: Audience,
    /// The default scopes of a request (RFC 6749 §3.3).
    pub scopes: Vec<String>,
    /// How requests differ from the standard.
    pub request: RequestRules,
    /// The places of values in answers.
    pub answer: AnswerRules,
    /// The meaning of the provider's own error words.
    pub errors: ErrorWords,
}

impl Registration {
    /// A registration that follows the standard and has no scopes.
    pub fn new(endpoints: Endpoints, client_id: &str, client_auth: ClientAuth) -> Self {
        Self {
            endpoints,
            client_id: client_id.to_owned(),
            client_auth,
            audience: Audience::TokenEndpoint,
            scopes: Vec::new(),
            request: RequestRules::default(),
            answer: AnswerRules::default(),
            errors: ErrorWords::default(),
        }
    }
}

/// The URLs of a provider (RFC 6749 §3, RFC 7009 §2, RFC 7662 §2). The caller checks that they have no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The authorization endpoint. It may have a query.
    pub authorization: Option<String>,
    /// The token endpoint. It may have a query.
    pub token: String,
    /// The endpoint for refreshes, if it differs from the token endpoint. It may have a query.
    pub refresh: Option<String>,
    /// The revocation endpoint.
    pub revocation: Option<String>,
    /// The introspection endpoint.
    pub introspection: Option<String>,
}

impl Endpoints {
    /// Endpoints with a token endpoint only.
    pub fn of_token(token: &str) -> Self {
        let token = token.to_owned();
        Self { authorization: None, token, refresh: None, revocation: None, introspection: None }
    }
}

/// The `aud` of a client's assertions (RFC 7523 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The URL of the token endpoint, for every request (OpenID Connect Core §9).
    TokenEndpoint,
    /// The URL of the request, as Okta requires.
    Endpoint,
    /// This text, such as the issuer.
    Text(String),
}

/// How a client authenticates at the token endpoint (RFC 6749 §2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// HTTP Basic. Identifier and secret are form-encoded before base64 (RFC 6749 §2.3.1).
    #[default]
    Basic,
    /// HTTP Basic without form encoding (RFC 7617), as many providers require.
    BasicRaw,
    /// HTTP Basic with the secret as the user name and an empty password, as Stripe requires.
    BasicSecret,
    /// `client_id` and `client_secret` in the body (RFC 6749 §2.3.1).
    Post,
    /// `client_id` and a signed assertion in the body (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// `client_id` in the body. The TLS certificate authenticates the client (RFC 8705 §2).
    Tls,
    /// `client_id` in the body, without authentication: a public client (RFC 6749 §2.1).
    None,
}

impl ClientAuth {
    /// All methods.
    pub const ALL: [Self; 7] = [
        Self::Basic,
        Self::BasicRaw,
        Self::BasicSecret,
        Self::Post,
        Self::PrivateKeyJwt,
        Self::Tls,
        Self::None,
    ];

    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::BasicRaw => "basic_raw",
            Self::BasicSecret => "basic_secret",
            Self::Post => "post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }

    /// Finds a method by its name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name)
    }
}

/// How requests to a provider differ from the standard.
///
/// A field of `authorize`, `exchange` or `refresh` is added to that request under the given name. If the request
/// already has this field, after `names` is applied, the value replaces it. **An empty value removes the field**, for
/// example `grant_type = ""`, because a field without a value counts as omitted (RFC 6749 §3.2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestRules {
    /// The format of bodies.
    pub body: BodyFormat,
    /// The separator of scopes; a space in the standard (RFC 6749 §3.3).
    pub scope_separator: String,
    /// Fields of the authorization URL (RFC 6749 §4.1.1).
    pub authorize: BTreeMap<String, String>,
    /// Fields of the exchange of a code (RFC 6749 §4.1.3).
    pub exchange: BTreeMap<String, String>,
    /// Fields of a refresh (RFC 6749 §6).
    pub refresh: BTreeMap<String, String>,
    /// The provider's names of standard fields, for example `client_key` for `client_id`. They apply to every request.
    pub names: BTreeMap<String, String>,
}

impl Default for RequestRules {
    fn default() -> Self {
        Self {
            body: BodyFormat::default(),
            scope_separator: " ".to_owned(),
            authorize: BTreeMap::new(),
            exchange: BTreeMap::new(),
            refresh: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }
}

/// The format of a request body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded`, as in the standard (RFC 6749 Appendix B).
    #[default]
    Form,
    /// A JSON object of strings.
    Json,
}

/// The places of values in an answer. Each place is a path of member names, separated by dots, such as
/// `authed_user.access_token`. An empty path means that there is no such value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerRules {
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// The lifetime of the access token.
    pub expires_in: String,
    /// The lifetime of the refresh token.
    pub refresh_expires_in: String,
    /// The scope.
    pub scope: String,
    /// The ID token (OpenID Connect Core §3.1.3.3).
    pub id_token: String,
    /// The unit of `expires_in` and `refresh_expires_in`.
    pub expires_in_unit: TimeUnit,
    /// The statuses of a successful answer.
    pub status: Vec<u16>,
    /// Texts to keep with the tokens, such as the host of the provider's API.
    pub keep: Vec<String>,
}

impl Default for AnswerRules {
    /// The names of RFC 6749 §5.1, and the most common one for the lifetime of the refresh token. 201 is a success,
    /// too.
    fn default() -> Self {
        Self {
            access_token: "access_token".to_owned(),
            refresh_token: "refresh_token".to_owned(),
            expires_in: "expires_in".to_owned(),
            refresh_expires_in: "refresh_token_expires_in".to_owned(),
            scope: "scope".to_owned(),
            id_token: "id_token".to_owned(),
            expires_in_unit: TimeUnit::default(),
            status: vec![200, 201],
            keep: Vec::new(),
        }
    }
}

/// The unit of a lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub enum TimeUnit {
    /// Seconds, as in the standard (RFC 6749 §5.1).
    #[default]
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
}

/// The meaning of a provider's own error words. They take precedence over the words of the standard.
///
/// A word is compared with the whole of `error` and of `error_description`. The description takes precedence, because
/// it is more specific. `busy` takes precedence over `client`, and `client` over `dead`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorWords {
    /// The grant is dead.
    pub dead: Vec<String>,
    /// The client is at fault.
    pub client: Vec<String>,
    /// The provider is busy.
    pub busy: Vec<String>,
    /// The path of a member that is false in a failed answer of any status, such as Slack's `ok`. The `error` next to
    /// it is the word.
    pub ok_field: Option<String>,
}

/// Identifies a client: the digest of its issuer, or of its token endpoint without an issuer, and of its identifier. A
/// refresh token is bound to that client (RFC 6749 §6).
pub fn client_digest(issuer_or_token_endpoint: &str, client_id: &str) -> [u8; 32] {
    digest([CLIENT_DOMAIN, issuer_or_token_endpoint, client_id].map(str::as_bytes))
}

/// Identifies a code of the client with this `client_digest`, without revealing the code. A caller recognizes a code
/// that it already sent, because a code must not be used more than once (RFC 6749 §4.1.2).
pub fn code_digest(client_digest: &[u8; 32], code: &SecretText) -> [u8; 32] {
    wiping_stack(|| digest([CODE_DOMAIN.as_bytes(), client_digest, code.expose().as_bytes()]))
}

fn digest<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; SHA256_OUTPUT_LEN];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_of_authentication_is_read_as_it_is_written() {
        for way in ClientAuth::ALL {
            assert_eq!(ClientAuth::of_name(way.name()), Some(way));
        }
        assert_eq!(ClientAuth::of_name("Basic"), None);
    }

    #[test]
    fn clients_differ_by_each_part_and_by_where_it_ends() {
        let digests = [
            client_digest("https://a.example", "b"),
            client_digest("https://a.example", "c"),
            client_digest("https://a.exampl", "eb"),
            client_digest("https://a.exampleb", ""),
            client_digest("", "https://a.exampleb"),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
        assert_eq!(digests[0], client_digest("https://a.example", "b"));
    }

    #[test]
    fn the_digest_of_a_client_stays_what_databases_hold() {
        let digest = client_digest("https://login.example", "latchkey");
        assert_eq!(
            hex(&digest),
            "db8ff2d4aaf0ffebc69c25e4380066e130d1605df1c0c7ad5c0b2d3f5e9136ac"
        );
    }

    #[test]
    fn codes_differ_by_client_and_text() {
        let clients =
            [client_digest("https://a.example", "b"), client_digest("https://a.example", "c")];
        let digests = [
            code_digest(&clients[0], &SecretText::from("one")),
            code_digest(&clients[0], &SecretText::from("two")),
            code_digest(&clients[1], &SecretText::from("one")),
        ];
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
        assert_eq!(digests[0], code_digest(&clients[0], &SecretText::from("one")));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
