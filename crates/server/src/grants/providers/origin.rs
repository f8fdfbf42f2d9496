//! The source of a provider's endpoints and keys: the configuration, or the metadata of its issuer.
//!
//! Invariant: values that are built from metadata are built again only when the metadata changes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::{CauseKind, GrantDetails};
use provider::{Audience, Endpoints, Metadata, Registration};

use super::{
    ConfiguredProvider,
    discovery::{self, Discovery},
    id_tokens::IdTokens,
};
use crate::{
    config::grants::ProviderSettings,
    outgoing::{Outgoing, SendError},
};

/// The time limit of a probe of a provider.
const PROBE: Duration = Duration::from_secs(10);

/// The source of the endpoints.
pub(super) enum Origin {
    Named { registration: Arc<Registration>, id_tokens: Option<Arc<IdTokens>> },
    Discovered(Box<Discovered>),
}

pub(super) struct Discovered {
    discovery: Discovery,
    issuer: String,
    /// The registration without endpoints.
    registration: Registration,
    /// Whether requests go to the endpoints that ask for a certificate (RFC 8705 §5).
    has_certificate: bool,
    /// The values that were built from the last metadata.
    made: Mutex<Option<Made>>,
}

#[derive(Clone)]
struct Made {
    of: Arc<Metadata>,
    registration: Arc<Registration>,
    id_tokens: Option<Arc<IdTokens>>,
}

impl ConfiguredProvider {
    /// Returns how to make requests to the provider. Fetches the metadata of its issuer if needed.
    ///
    /// # Errors
    /// There is no metadata, and fetching it fails.
    pub(crate) async fn registration(&self) -> Result<Arc<Registration>, SendError> {
        match &self.origin {
            Origin::Named { registration, .. } => Ok(Arc::clone(registration)),
            Origin::Discovered(discovered) => Ok(self.made(discovered).await?.registration),
        }
    }

    /// Like `registration`, with these values for the parameters of its URLs.
    ///
    /// # Errors
    /// Those of `registration`.
    pub(crate) async fn registration_for(
        &self,
        values: &BTreeMap<String, String>,
    ) -> Result<Arc<Registration>, SendError> {
        let registration = self.registration().await?;
        if values.is_empty() {
            return Ok(registration);
        }
        let endpoints = registration.endpoints.fill(values);
        Ok(Arc::new(Registration { endpoints, ..(*registration).clone() }))
    }

    /// Returns whether the URLs of requests for a grant are known: a record may have no values for their parameters.
    pub(crate) fn has_urls_for(&self, grant: &GrantDetails) -> bool {
        self.parameters.check(&grant.parameters).is_ok()
    }

    /// Returns the verifier of the provider's id_tokens; `None` if the provider has no keys.
    ///
    /// # Errors
    /// Those of `registration`.
    pub(crate) async fn id_tokens(&self) -> Result<Option<Arc<IdTokens>>, SendError> {
        match &self.origin {
            Origin::Named { id_tokens, .. } => Ok(id_tokens.clone()),
            Origin::Discovered(discovered) => Ok(self.made(discovered).await?.id_tokens),
        }
    }

    /// Returns the issuer, if it is configured.
    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.origin {
            Origin::Discovered(discovered) => Some(&discovered.issuer),
            Origin::Named { .. } => None,
        }
    }

    /// Returns whether it has an issuer, which sends an id_token for a code if `openid` is among the scopes (OpenID
    /// Connect Core §3.1.3.3).
    pub(crate) fn has_issuer(&self) -> bool {
        matches!(self.origin, Origin::Discovered(_))
    }

    /// Tests whether the provider is reachable, without sending a secret: by its metadata, or by any answer of its
    /// token endpoint. Returns what it found. Blocks.
    ///
    /// # Errors
    /// The provider is not reachable, or its TLS certificate is not trusted.
    pub(crate) fn probe(&self) -> Result<String, SendError> {
        match &self.origin {
            Origin::Discovered(discovered) => {
                let metadata = discovery::fetch(&self.outgoing, &discovered.issuer)?;
                let keys = metadata.jwks_uri.map(|jwks| format!(", keys at {jwks}"));
                let keys = keys.unwrap_or_default();
                Ok(format!(
                    "its metadata names the token endpoint {}{keys}",
                    metadata.token_endpoint
                ))
            }
            Origin::Named { registration, .. } => {
                let endpoint = &registration.endpoints.token;
                if self.parameters.open().next().is_some() {
                    return Ok(format!("{endpoint} has parameters, so that it is not asked"));
                }
                let answer = self.outgoing.get(endpoint, PROBE)?;
                Ok(format!("{endpoint} answers a GET with {}", answer.status))
            }
        }
    }

    async fn made(&self, discovered: &Discovered) -> Result<Made, SendError> {
        let metadata = discovered.discovery.metadata().await?;
        let mut made = discovered.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| Arc::ptr_eq(&made.of, &metadata)) {
            return Ok(made.clone());
        }
        let before = made.as_ref().and_then(|made| made.id_tokens.clone());
        let id_tokens = match (&metadata.jwks_uri, before) {
            (Some(jwks), Some(before)) if before.jwks == *jwks => Some(before),
            (Some(jwks), _) => {
                let issuer = Some(discovered.issuer.as_str());
                let client_id = &discovered.registration.client_id;
                let made = IdTokens::new(&self.place, jwks, issuer, client_id, &self.outgoing);
                Some(Arc::new(made.map_err(|error| {
                    SendError::unsent(CauseKind::Unreadable, format_args!("{error:#}"))
                })?))
            }
            (None, _) => None,
        };
        let endpoints = metadata.endpoints(discovered.has_certificate);
        let registration = Registration { endpoints, ..discovered.registration.clone() };
        let new = Made { of: metadata, registration: Arc::new(registration), id_tokens };
        *made = Some(new.clone());
        Ok(new)
    }
}

impl Origin {
    pub(super) fn of(
        place: &str,
        settings: &ProviderSettings,
        outgoing: &Arc<Outgoing>,
    ) -> anyhow::Result<Self> {
        if let Some(issuer) = &settings.issuer {
            let issuer = settings.filled(issuer);
            return Ok(Self::Discovered(Box::new(Discovered {
                discovery: Discovery::new(&issuer, place, outgoing),
                issuer,
                registration: registration(settings),
                has_certificate: settings.tls.is_some(),
                made: Mutex::new(None),
            })));
        }
        let id_tokens = settings.jwks.as_ref().map(|jwks| {
            let setting = format!("{place}: jwks");
            let jwks = settings.filled(jwks);
            IdTokens::new(&setting, &jwks, None, &settings.client_id, outgoing).map(Arc::new)
        });
        Ok(Self::Named {
            registration: Arc::new(registration(settings)),
            id_tokens: id_tokens.transpose()?,
        })
    }
}

/// Builds the registration from the configuration. It is complete if there is no issuer.
fn registration(settings: &ProviderSettings) -> Registration {
    let endpoints = Endpoints {
        authorization: settings.authorization_endpoint.clone(),
        token: settings.token_endpoint.clone().unwrap_or_default(),
        refresh: settings.refresh_endpoint.clone(),
        revocation: settings.revocation_endpoint.clone(),
        introspection: settings.introspection_endpoint.clone(),
    };
    Registration {
        endpoints: endpoints.fill(&settings.parameters.fixed()),
        client_id: settings.client_id.clone(),
        client_auth: settings.client_auth,
        audience: audience(settings),
        scopes: settings.scopes.clone(),
        request: settings.request.clone(),
        answer: settings.answer.clone(),
        errors: settings.errors.clone(),
    }
}

/// Returns the audience of assertions. By default that is the issuer, if it is known: a token endpoint that belongs to
/// another provider could pass the assertion on, but no provider accepts the issuer of another.
fn audience(settings: &ProviderSettings) -> Audience {
    let issuer = || settings.issuer.as_ref().map(|issuer| Audience::Text(settings.filled(issuer)));
    match settings.assertion_audience.as_deref() {
        None | Some("issuer") => issuer().unwrap_or(Audience::TokenEndpoint),
        Some("token_endpoint") => Audience::TokenEndpoint,
        Some("endpoint") => Audience::Endpoint,
        Some(text) => Audience::Text(text.to_owned()),
    }
}
