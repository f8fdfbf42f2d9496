//! The error of a body that does not fit a type.
//!
//! Invariant: it names the path of the property.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::super::Kind;

/// A body that does not fit the type that it is read as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {unfit}", if property.is_empty() { "the body" } else { property })]
pub struct DeserializeError {
    /// The path of the property, such as `Lines[1].Count`. Empty for the whole body.
    ///
    /// Names of fields are spelled as the type spells them, keys of maps in lower case.
    pub property: String,
    /// The error of this property.
    pub unfit: Unfit,
}

/// The error of a property.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has another type.
    #[error("must be {expected}, not {found}")]
    Type {
        /// The type that is needed, in words.
        expected: String,
        /// The type that the body has.
        found: Kind,
    },
    /// It has the right type, but not this value.
    #[error("must be {expected}")]
    Value {
        /// The value that is needed, in words.
        expected: String,
    },
    /// It is missing.
    #[error("is missing")]
    Missing,
    /// The type has no such field (`#[serde(deny_unknown_fields)]`).
    #[error("is not a known property")]
    Unknown,
    /// It is there more than once, for example under a name and its alias.
    #[error("is there more than once")]
    Repeated,
    /// A message of the type's own `Deserialize`. It may quote the value.
    #[error("is not valid: {0}")]
    Other(String),
}

impl DeserializeError {
    pub(super) fn new(unfit: Unfit) -> Self {
        Self { property: String::new(), unfit }
    }

    /// The error, of a property of this name.
    pub(super) fn within(self, name: &str) -> Self {
        let property = match self.property.as_str() {
            "" => name.to_owned(),
            index if index.starts_with('[') => format!("{name}{index}"),
            path => format!("{name}.{path}"),
        };
        Self { property, ..self }
    }
}

impl Error for DeserializeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Unfit::Other(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Bool(_) => Kind::Boolean,
            Unexpected::Unsigned(_) | Unexpected::Signed(_) => Kind::Integer,
            Unexpected::Float(_) => Kind::Number,
            Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => Kind::String,
            Unexpected::Unit | Unexpected::Option => Kind::Null,
            Unexpected::Seq => Kind::Array,
            _ => Kind::Object,
        };
        Self::new(Unfit::Type { expected: expected.to_string(), found })
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Unfit::Value { expected: expected.to_string() })
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::new(Unfit::Value { expected: expected.to_string() })
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Unfit::Value { expected: format!("one of: {}", expected.join(", ")) })
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::new(Unfit::Unknown).within(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Unfit::Missing).within(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Unfit::Repeated).within(field)
    }
}
