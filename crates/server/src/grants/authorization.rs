//! Authorization: the URL at which a user consents.
//!
//! Invariant: nothing is stored. The answer has everything that the caller must keep, and `State` binds it to the
//! caller.

use std::{collections::BTreeMap, sync::Arc};

use model::{Principal, Provider, RetrievalKey, SecretText};
use provider::{AuthorizationRequest, InvalidParameter, pkce};
use store::{SavedTokens, StateBinding, random};

use super::{
    Grants, error::GrantError, exchange::OPENID, providers::ConfiguredProvider,
    replacing::ReplaceError,
};

/// The consent to ask a user for.
pub(crate) struct Consent {
    pub(crate) provider: Provider,
    pub(crate) redirect_uri: String,
    /// `None`: the provider's `scopes`.
    pub(crate) scopes: Option<Vec<String>>,
    /// The values of the parameters in the provider's URLs.
    pub(crate) parameters: BTreeMap<String, String>,
    /// The key of the record to connect again.
    pub(crate) key: Option<RetrievalKey>,
}

/// The URL to send the user to, and the values that the caller keeps for the exchange of the code.
pub(crate) struct Authorization {
    pub(crate) url: String,
    pub(crate) state: String,
    /// Absent if the scopes have no `openid`, because then no id_token comes (OpenID Connect Core §3.1.2.1), or if the
    /// provider has no keys to verify one.
    pub(crate) nonce: Option<SecretText>,
    pub(crate) pkce_verifier: SecretText,
}

/// The reason why a user cannot be connected, before or after consent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No provider of that name is configured for the tenant.
    #[error("the provider is not configured")]
    UnknownProvider,
    /// The redirect URI is not one of the provider's.
    #[error("the redirect URI is not configured")]
    UnknownRedirect,
    /// A parameter in the provider's URLs has no value, or an invalid one.
    #[error(transparent)]
    Parameter(#[from] InvalidParameter),
    /// The key of the record to connect again retrieves nothing.
    #[error("the key retrieves nothing")]
    UnknownKey,
    /// The caller may not connect that record again.
    #[error(transparent)]
    Record(#[from] ReplaceError),
}

/// The reason why there is no URL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorizationError {
    /// The user cannot be connected.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The provider has no authorization endpoint.
    #[error("the provider has no authorization endpoint")]
    NoEndpoint,
    /// The provider's metadata is not available.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

impl Grants {
    /// Returns the provider of that name, if this redirect URI is one of its own.
    pub(super) fn provider_for(
        &self,
        caller: &Principal,
        provider: &Provider,
        redirect_uri: &str,
    ) -> Result<&Arc<ConfiguredProvider>, ConnectError> {
        let found = self.providers.find(&caller.tenant, provider.as_str());
        let found = found.filter(|_| self.is_enabled).ok_or(ConnectError::UnknownProvider)?;
        // Byte for byte, as a provider compares them (RFC 9700 §2.1).
        if !found.redirect_uris.iter().any(|known| known == redirect_uri) {
            return Err(ConnectError::UnknownRedirect);
        }
        Ok(found)
    }

    /// Retrieves the tokens of the record to connect again, if there is a key.
    pub(super) async fn to_connect_again(
        &self,
        caller: &Principal,
        key: Option<&RetrievalKey>,
        provider: &Provider,
    ) -> Result<Option<SavedTokens>, ConnectError> {
        let Some(key) = key else { return Ok(None) };
        let found = self.to_replace(caller, key, provider).await?;
        found.map(Some).ok_or(ConnectError::UnknownKey)
    }

    /// Returns the URL at which a user consents, and the values that belong to it.
    ///
    /// # Errors
    /// At most the provider's metadata was requested.
    pub(crate) async fn authorize(
        &self,
        caller: &Principal,
        consent: &Consent,
    ) -> Result<Authorization, AuthorizationError> {
        let Consent { provider, redirect_uri, scopes, parameters, key } = consent;
        let configured = self.provider_for(caller, provider, redirect_uri)?;
        self.to_connect_again(caller, key.as_ref(), provider).await?;
        configured.parameters.check(parameters).map_err(ConnectError::from)?;
        let registration = configured.registration_for(parameters).await;
        let registration = registration.map_err(GrantError::from)?;
        let asked_for = scopes.as_ref().unwrap_or(&registration.scopes);
        // Without keys, an id_token cannot be verified, nor its nonce compared.
        let has_keys = configured.id_tokens().await.map_err(GrantError::from)?.is_some();
        let has_id_token = has_keys && asked_for.iter().any(|scope| scope == OPENID);
        let (pkce_verifier, nonce) = (pkce::verifier(&random()), pkce::verifier(&random()));
        let nonce = has_id_token.then_some(nonce);
        let state = self.store.new_state(&StateBinding {
            caller,
            provider,
            redirect_uri,
            nonce: nonce.as_ref(),
            pkce_verifier: Some(&pkce_verifier),
            parameters,
            key: key.as_ref(),
        });
        let url = registration.authorization_url(&AuthorizationRequest {
            redirect_uri,
            scopes: scopes.as_deref(),
            state: &state,
            nonce: nonce.as_ref().map(SecretText::expose),
            code_challenge: Some(&pkce::challenge(&pkce_verifier)),
        });
        let url = url.ok_or(AuthorizationError::NoEndpoint)?;
        Ok(Authorization { url, state, nonce, pkce_verifier })
    }
}
