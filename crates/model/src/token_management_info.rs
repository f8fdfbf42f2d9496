//! The carrier: a provider and the tokens it issued (CONTRACT 7).
//!
//! Invariant: every `Provider` is valid, and every field of a carrier is kept byte for byte. `check` tests whether a
//! carrier may be saved, because that depends on a configured limit.

use std::fmt;

use crate::SecretText;

/// The most characters of a provider's name.
pub const PROVIDER_MAX_CHARS: usize = 255;

/// The fields of the carrier. `Display` writes their path on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The provider's name.
    Provider,
    /// The access token.
    AccessToken,
    /// The refresh token.
    RefreshToken,
    /// The id_token's claims, a JSON dictionary in a string.
    Claims,
}

impl Field {
    /// All fields, in the order of the wire.
    pub const ALL: [Self; 4] =
        [Self::Provider, Self::AccessToken, Self::RefreshToken, Self::Claims];

    /// Returns the field's own name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "Provider",
            Self::AccessToken => "AccessToken",
            Self::RefreshToken => "RefreshToken",
            Self::Claims => "Claims",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenManagementInfo.{}", self.name())
    }
}

/// A problem with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The provider is missing or empty.
    #[error("is required")]
    Required,
    /// Both tokens are missing.
    #[error("or TokenManagementInfo.RefreshToken is required")]
    NoToken,
    /// Too many characters: the limit, and the actual number.
    #[error("is longer than {0} characters")]
    TooManyCharacters(usize, usize),
    /// The character U+0000, which not every database can store.
    #[error("has the character U+0000")]
    NulCharacter,
    /// Too many bytes of UTF-8: the limit, and the actual number.
    #[error("is longer than {0} bytes")]
    TooManyBytes(usize, usize),
}

/// The carrier cannot be saved. Names the field and never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {violation}")]
pub struct InvalidCarrier {
    /// The invalid field.
    pub field: Field,
    /// The problem with it.
    pub violation: Violation,
}

/// The name of the party that issued the tokens: 1–255 characters except U+0000. It is stored in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider(String);

impl Provider {
    /// Parses a provider's name.
    pub fn parse(raw: &str) -> Result<Self, InvalidCarrier> {
        let invalid = |violation| InvalidCarrier { field: Field::Provider, violation };
        let length = raw.chars().count();
        if raw.is_empty() {
            Err(invalid(Violation::Required))
        } else if length > PROVIDER_MAX_CHARS {
            Err(invalid(Violation::TooManyCharacters(PROVIDER_MAX_CHARS, length)))
        } else if raw.contains('\0') {
            Err(invalid(Violation::NulCharacter))
        } else {
            Ok(Self(raw.to_owned()))
        }
    }

    /// Returns the name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A provider with the tokens it issued.
#[derive(Clone, Debug)]
pub struct TokenManagementInfo {
    /// The issuer of the tokens.
    pub provider: Provider,
    /// Gives access to the provider's API for a limited time.
    pub access_token: Option<SecretText>,
    /// Obtains a new access token.
    pub refresh_token: Option<SecretText>,
    /// The claims of the id_token, a JSON dictionary in a string; never parsed.
    pub claims: Option<SecretText>,
}

impl TokenManagementInfo {
    /// Creates a carrier of this provider, without the other fields.
    pub fn of(provider: Provider) -> Self {
        Self { provider, access_token: None, refresh_token: None, claims: None }
    }

    /// Returns the secret fields, in the order of the wire.
    pub fn secrets(&self) -> [(Field, &Option<SecretText>); 3] {
        let Self { provider: _, access_token, refresh_token, claims } = self;
        [
            (Field::AccessToken, access_token),
            (Field::RefreshToken, refresh_token),
            (Field::Claims, claims),
        ]
    }

    /// Checks that the carrier may be saved if each token, and the claims, may have up to `max_bytes` bytes. An empty
    /// token counts as missing, but is returned as it was given.
    ///
    /// # Errors
    /// The first invalid field, in the order of the wire.
    pub fn check(&self, max_bytes: usize) -> Result<(), InvalidCarrier> {
        let is_empty = |token: &Option<SecretText>| {
            token.as_ref().is_none_or(|token| token.expose().is_empty())
        };
        if is_empty(&self.access_token) && is_empty(&self.refresh_token) {
            let violation = Violation::NoToken;
            return Err(InvalidCarrier { field: Field::AccessToken, violation });
        }
        for (field, text) in self.secrets() {
            let length = text.as_ref().map_or(0, |text| text.expose().len());
            if length > max_bytes {
                let violation = Violation::TooManyBytes(max_bytes, length);
                return Err(InvalidCarrier { field, violation });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(
        access: Option<&str>,
        refresh: Option<&str>,
        claims: Option<&str>,
    ) -> TokenManagementInfo {
        TokenManagementInfo {
            provider: Provider::parse("et").expect("provider"),
            access_token: access.map(Into::into),
            refresh_token: refresh.map(Into::into),
            claims: claims.map(Into::into),
        }
    }

    /// CONTRACT 7: 1–255 characters, counted as characters.
    #[test]
    fn a_provider_has_1_to_255_characters() {
        assert!(Provider::parse("e").is_ok());
        assert!(Provider::parse(&"å".repeat(255)).is_ok());
        for (raw, told) in [
            ("", "TokenManagementInfo.Provider is required"),
            (&"å".repeat(256), "TokenManagementInfo.Provider is longer than 255 characters"),
        ] {
            assert_eq!(Provider::parse(raw).expect_err(raw).to_string(), told);
        }
    }

    /// CONTRACT 7: at least one token; a limit in bytes of UTF-8; the property is named.
    #[test]
    fn a_carrier_needs_a_token_and_keeps_the_limit() {
        let check = |carrier: TokenManagementInfo| carrier.check(8).map_err(|e| e.to_string());
        assert_eq!(check(carrier(Some("12345678"), None, None)), Ok(()));
        assert_eq!(check(carrier(None, Some("åååå"), Some("{}"))), Ok(()));
        assert_eq!(check(carrier(Some(""), Some("x"), None)), Ok(()));
        for (bad, told) in [
            (
                carrier(None, None, Some("{}")),
                "AccessToken or TokenManagementInfo.RefreshToken is required",
            ),
            (
                carrier(Some(""), Some(""), None),
                "AccessToken or TokenManagementInfo.RefreshToken is required",
            ),
            (carrier(Some("123456789"), None, None), "AccessToken is longer than 8 bytes"),
            (carrier(None, Some("ååååå"), None), "RefreshToken is longer than 8 bytes"),
            (carrier(Some("x"), None, Some("123456789")), "Claims is longer than 8 bytes"),
        ] {
            assert_eq!(check(bad), Err(format!("TokenManagementInfo.{told}")));
        }
    }
}
