//! Request bodies as trees whose names have no case.
//!
//! Invariant: whatever a body was written in, it is read through `Object`, so that a missing, null
//! or ill-typed property is the same error, with the same path, in every format.

mod json;

use std::fmt;

use serde_json::{Map, Value};

/// The body is not well-formed; tells where and never quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

/// A property has another type than the call needs; tells which and never quotes its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{property} must be {expected}, not {found}")]
pub struct WrongType {
    /// The property's path, with the names of the call's description; `the body` for the root.
    pub property: String,
    expected: &'static str,
    found: &'static str,
}

/// A body: the root of a tree whose names are all lower case. It may hold secrets, so it does not
/// print itself.
pub struct Body(Value);

impl Body {
    /// No properties.
    pub fn empty() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// Reads JSON: a byte order mark is tolerated, trailing data and a depth over 32 are not; of
    /// names that differ only by case the last wins (CONTRACT 3, 9). Null is as good as empty.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        match json::parse(bytes)? {
            Value::Null => Ok(Self::empty()),
            root => Ok(Self(root)),
        }
    }

    /// The root's properties.
    pub fn root(&self) -> Result<Object<'_>, WrongType> {
        match &self.0 {
            Value::Object(members) => Ok(Object { path: String::new(), members }),
            other => Err(wrong_type("the body".to_owned(), "an object", other)),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(redacted)")
    }
}

/// Some of a body's properties, and where they are.
pub struct Object<'a> {
    path: String,
    members: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The path of a property, as errors name it.
    pub fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The property as an object; `None` if it is missing or null.
    pub fn object(&self, name: &str) -> Result<Option<Object<'a>>, WrongType> {
        match self.member(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Object { path: self.path_to(name), members })),
            Some(other) => Err(wrong_type(self.path_to(name), "an object", other)),
        }
    }

    /// The property as text; `None` if it is missing or null.
    ///
    /// ```
    /// let body = negotiate::body::Body::from_json(br#"{"KEY": "lk_1", "other": 1}"#)?;
    /// assert_eq!(body.root()?.string("Key")?, Some("lk_1"));
    /// assert_eq!(body.root()?.string("Absent")?, None);
    /// let error = body.root()?.string("Other").unwrap_err();
    /// assert_eq!(error.to_string(), "Other must be a string, not a number");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn string(&self, name: &str) -> Result<Option<&'a str>, WrongType> {
        match self.member(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(self.path_to(name), "a string", other)),
        }
    }

    fn member(&self, name: &str) -> Option<&'a Value> {
        self.members.get(&name.to_ascii_lowercase())
    }
}

fn wrong_type(property: String, expected: &'static str, found: &Value) -> WrongType {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    WrongType { property, expected, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str) -> Body {
        Body::from_json(json.as_bytes()).expect(json)
    }

    /// CONTRACT 3: names in any case.
    #[test]
    fn names_have_no_case() {
        let body = body(r#"{"tokenManagementInfo":{"PROVIDER":"et","accessToken":null}}"#);
        let root = body.root().expect("object");
        let carrier = root.object("TokenManagementInfo").expect("object").expect("there");
        assert_eq!(carrier.string("Provider"), Ok(Some("et")));
        assert_eq!(carrier.string("AccessToken"), Ok(None));
        assert_eq!(carrier.string("RefreshToken"), Ok(None));
    }

    /// CONTRACT 7: a wrong type names the property.
    #[test]
    fn a_wrong_type_names_the_property() {
        let told = |json| {
            let body = body(json);
            let text = body
                .root()
                .and_then(|root| root.object("TokenManagementInfo"))
                .and_then(|carrier| carrier.expect("there").string("Provider").map(|_| ()));
            text.expect_err(json).to_string()
        };
        assert_eq!(told("[]"), "the body must be an object, not an array");
        assert_eq!(
            told(r#"{"tokenmanagementinfo":"x"}"#),
            "TokenManagementInfo must be an object, not a string"
        );
        assert_eq!(
            told(r#"{"TokenManagementInfo":{"provider":{}}}"#),
            "TokenManagementInfo.Provider must be a string, not an object"
        );
    }

    #[test]
    fn an_empty_body_and_null_have_no_properties() {
        for json in ["", "null", " "] {
            assert_eq!(body(json).root().expect(json).string("Key"), Ok(None));
        }
    }
}
