//! The metadata that a provider publishes (OpenID Connect Discovery 1.0, RFC 8414).
//!
//! Invariant: the metadata names the requested issuer, byte for byte, and its endpoints are `https` URLs. `http` is
//! accepted only if the issuer is an `http` URL itself and both are on the loopback interface. The caller decides whether
//! such an issuer may be configured.

use thiserror::Error;

use crate::{Endpoints, json::Json};

/// The maximum length of a URL, in bytes.
const URL_MAX: usize = 2048;

/// The metadata of an authorization server (RFC 8414 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The issuer.
    pub issuer: String,
    /// The authorization endpoint.
    pub authorization_endpoint: Option<String>,
    /// The token endpoint.
    pub token_endpoint: String,
    /// The revocation endpoint (RFC 7009).
    pub revocation_endpoint: Option<String>,
    /// The introspection endpoint (RFC 7662).
    pub introspection_endpoint: Option<String>,
    /// The URL of the keys for ID tokens.
    pub jwks_uri: Option<String>,
    /// The endpoints for clients with a certificate.
    pub mtls_endpoint_aliases: MtlsEndpoints,
}

/// The endpoints for clients with a certificate, if they differ (RFC 8705 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MtlsEndpoints {
    /// Replaces `token_endpoint`.
    pub token_endpoint: Option<String>,
    /// Replaces `revocation_endpoint`.
    pub revocation_endpoint: Option<String>,
    /// Replaces `introspection_endpoint`.
    pub introspection_endpoint: Option<String>,
}

/// Why metadata cannot be used. A name is that of the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidMetadata {
    /// The text is not a JSON object.
    #[error("the metadata is no JSON object")]
    NotAnObject,
    /// A member is missing, or is not text.
    #[error("the metadata has no text in {0}")]
    Missing(&'static str),
    /// A member is repeated with two values.
    #[error("the metadata has two values in {0}")]
    Repeated(&'static str),
    /// The issuer is not the requested one (RFC 8414 §3.3).
    #[error("the metadata is of another issuer")]
    OtherIssuer,
    /// An endpoint is not an accepted URL.
    #[error("the metadata has no https URL, without user and fragment, in {0}")]
    Endpoint(&'static str),
}

impl Metadata {
    /// Reads the metadata of an issuer.
    ///
    /// # Errors
    /// The metadata is of another issuer, lacks a token endpoint, or has an invalid endpoint. One invalid endpoint
    /// makes the whole metadata invalid.
    pub fn parse(json: &[u8], issuer: &str) -> Result<Self, InvalidMetadata> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let metadata = Json::read(json).filter(|json| matches!(json, Json::Object(_)));
        let metadata = metadata.ok_or(InvalidMetadata::NotAnObject)?;
        let required = |name| text(&metadata, name)?.ok_or(InvalidMetadata::Missing(name));
        if required("issuer")? != issuer {
            return Err(InvalidMetadata::OtherIssuer);
        }
        let endpoint = |name| {
            let url = text(&metadata, name)?;
            let is_usable = url.is_none_or(|url| is_usable(url, issuer));
            is_usable.then_some(url.map(str::to_owned)).ok_or(InvalidMetadata::Endpoint(name))
        };
        required("token_endpoint")?;
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: endpoint("authorization_endpoint")?,
            token_endpoint: endpoint("token_endpoint")?.unwrap_or_default(),
            revocation_endpoint: endpoint("revocation_endpoint")?,
            introspection_endpoint: endpoint("introspection_endpoint")?,
            jwks_uri: endpoint("jwks_uri")?,
            mtls_endpoint_aliases: MtlsEndpoints {
                token_endpoint: endpoint("mtls_endpoint_aliases.token_endpoint")?,
                revocation_endpoint: endpoint("mtls_endpoint_aliases.revocation_endpoint")?,
                introspection_endpoint: endpoint("mtls_endpoint_aliases.introspection_endpoint")?,
            },
        })
    }

    /// The endpoints for a client. A client with a certificate gets the aliases for mutual TLS (RFC 8705 §5).
    pub fn endpoints(&self, has_certificate: bool) -> Endpoints {
        let aliases = &self.mtls_endpoint_aliases;
        let either = |alias: &Option<String>, usual: &Option<String>| {
            alias.as_ref().filter(|_| has_certificate).or(usual.as_ref()).cloned()
        };
        let token = aliases.token_endpoint.as_ref().filter(|_| has_certificate);
        Endpoints {
            authorization: self.authorization_endpoint.clone(),
            token: token.unwrap_or(&self.token_endpoint).clone(),
            refresh: None,
            revocation: either(&aliases.revocation_endpoint, &self.revocation_endpoint),
            introspection: either(&aliases.introspection_endpoint, &self.introspection_endpoint),
        }
    }
}

/// The URLs of an issuer's metadata: by OpenID Connect Discovery 1.0 §4, then by RFC 8414 §3.1.
pub fn metadata_urls(issuer: &str) -> [String; 2] {
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let host = issuer.find("://").map_or(0, |colon| colon + 3);
    let path = issuer[host..].find('/').map_or(issuer.len(), |slash| host + slash);
    let (origin, path) = issuer.split_at(path);
    [
        format!("{issuer}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
    ]
}

/// The text at a path of names. `null` counts as missing.
fn text<'a>(metadata: &'a Json, name: &'static str) -> Result<Option<&'a str>, InvalidMetadata> {
    let values = metadata.all(name);
    let mut values = values.iter().filter(|value| !matches!(value, Json::Null));
    let Some(first) = values.next() else { return Ok(None) };
    let first = first.text().ok_or(InvalidMetadata::Missing(name))?;
    match values.all(|other| other.text() == Some(first)) {
        true => Ok(Some(first)),
        false => Err(InvalidMetadata::Repeated(name)),
    }
}

fn is_usable(url: &str, issuer: &str) -> bool {
    match url.split_once("://") {
        Some(("https", rest)) => host(url, rest).is_some(),
        Some(("http", rest)) => {
            let issuer = issuer.strip_prefix("http://").and_then(|rest| host(issuer, rest));
            issuer.is_some_and(is_loopback) && host(url, rest).is_some_and(is_loopback)
        }
        _ => false,
    }
}

/// The host of a URL without a user, a fragment or an invalid character (RFC 3986 §2).
fn host<'a>(url: &str, rest: &'a str) -> Option<&'a str> {
    let is_url_byte = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
    if url.len() > URL_MAX || !url.bytes().all(is_url_byte) {
        return None;
    }
    let authority = rest.split(['/', '?']).next().filter(|authority| !authority.contains('@'))?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let has_good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    (!host.is_empty() && has_good_port).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    let is_address = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || host == "localhost"
}

#[cfg(test)]
mod tests;
