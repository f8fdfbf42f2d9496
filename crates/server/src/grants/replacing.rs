//! Replaces the tokens under a key: with those that a caller brings, or with those of a user who connects again.
//!
//! Invariant: only the owner of a record and administrators replace its tokens, and only with tokens of the same
//! provider.

use std::collections::BTreeMap;

use model::{GrantDetails, Principal, Provider, RetrievalKey, TokenManagementInfo};
use store::{NewGrant, Replaced, SavedTokens, StoreError, TokenEnd, TokensToSave};

use super::Grants;

/// How often a replacement is repeated because a refresh was faster.
const TRIES: usize = 5;

/// Tokens that a caller brings for a record whose key it has.
pub(crate) struct BroughtTokens {
    pub(crate) carrier: TokenManagementInfo,
    /// The expiry of the access token, if it is known.
    pub(crate) access_expires: Option<TokenEnd>,
    /// The values of the parameters in the provider's URLs; if empty, those of the record stay.
    pub(crate) parameters: BTreeMap<String, String>,
    /// The generation that they replace, if the caller knows it.
    pub(crate) generation: Option<i32>,
}

/// The reason why the tokens of a record were not replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    /// The record is another user's.
    #[error("the record is another user's")]
    NotOwner,
    /// The record's tokens are of another provider.
    #[error("the record is of another provider")]
    OtherProvider,
    /// The record has this generation, not the caller's.
    #[error("the record has another generation: {0}")]
    OtherGeneration(i32),
    /// The database cannot be asked, or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Grants {
    /// Retrieves the tokens of a key for a caller who may replace them with tokens of this provider; `None` if the key
    /// retrieves nothing.
    pub(super) async fn to_replace(
        &self,
        caller: &Principal,
        key: &RetrievalKey,
        provider: &Provider,
    ) -> Result<Option<SavedTokens>, ReplaceError> {
        match self.store.external_tokens(&caller.tenant, key).await? {
            Some(saved) if !caller.may_manage(&saved.owner) => Err(ReplaceError::NotOwner),
            Some(saved) if saved.carrier.provider != *provider => Err(ReplaceError::OtherProvider),
            found => Ok(found),
        }
    }

    /// Replaces the tokens that a key retrieves with the caller's, and returns whether the key retrieves any.
    ///
    /// # Errors
    /// Nothing was changed.
    pub(crate) async fn replace(
        &self,
        caller: &Principal,
        key: &RetrievalKey,
        brought: &BroughtTokens,
    ) -> Result<bool, ReplaceError> {
        for _ in 0..TRIES {
            let found = self.to_replace(caller, key, &brought.carrier.provider).await?;
            let Some(before) = found else { return Ok(false) };
            if brought.generation.is_some_and(|generation| generation != before.generation) {
                return Err(ReplaceError::OtherGeneration(before.generation));
            }
            let provider = self.provider_of(&caller.tenant, &before);
            let has_refresh_token = brought
                .carrier
                .refresh_token
                .as_ref()
                .is_some_and(|token| !token.expose().is_empty());
            let idle = |idle| self.store.database_time().saturating_add(idle);
            let grant = provider.filter(|_| has_refresh_token).map(|provider| NewGrant {
                client_digest: provider.client_digest,
                refresh_by: provider.margins.idle.map(idle),
            });
            let parameters = match brought.parameters.is_empty() {
                true => before.details.parameters.clone(),
                false => brought.parameters.clone(),
            };
            let details = GrantDetails { parameters, ..GrantDetails::default() };
            let access_expires = brought.access_expires;
            let tokens = TokensToSave {
                carrier: &brought.carrier,
                details: &details,
                access_expires,
                grant,
            };
            match self.store.replace_tokens(caller, key, &before, tokens, None).await? {
                Replaced::Done => return Ok(true),
                Replaced::Ended => return Ok(false),
                Replaced::Moved => {}
            }
        }
        Err(StoreError::Overloaded.into())
    }
}
