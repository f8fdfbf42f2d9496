//! Request bodies as trees whose names have no case.
//!
//! Invariant: whatever a body was written in, it is read through `Object`, so that a missing, null
//! or ill-typed property is the same error, with the same path, in every format.

mod fields;
mod form;
mod json;
mod patch;
mod xml;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde_json::{Map, Value};

pub use self::fields::{Fields, Repeated};
use crate::{Charset, ContentType, MediaType, NotText};

/// How deep a body may be nested (CONTRACT 9).
const MAX_DEPTH: usize = 32;
/// How many values a body may have (CONTRACT 9): each takes up to hundreds of bytes of memory for as few
/// as two of the body.
const MAX_VALUES: usize = 20_000;

/// The body is not well-formed; tells where and never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes are not text in their charset.
    #[error("the body is {0}")]
    Text(#[from] NotText),
    /// The XML declaration names an encoding that is not read here.
    #[error("the XML declaration names an encoding that is not read here")]
    XmlEncoding,
    /// Not JSON; lines and columns count from 1.
    #[error("the body is not valid JSON (line {line}, column {column})")]
    Json {
        /// The line.
        line: usize,
        /// The column, in bytes.
        column: usize,
    },
    /// Not XML; up to which byte it was read.
    #[error("the body is not valid XML (byte {0})")]
    Xml(u64),
    /// XML that has no equal in JSON: text beside elements, or content in a nil element.
    #[error("the XML has text beside elements, or content in a nil element (byte {0})")]
    XmlMixed(u64),
    /// A reference to an entity that is not one of XML's own five.
    #[error("the XML has an entity that is not one of XML's own five (byte {0})")]
    XmlEntity(u64),
    /// A form that is no form but a body of this type, which its sender did not name.
    #[error("the body is {}, sent as a form", .0.essence())]
    SentAsForm(MediaType),
    /// There is a document type declaration.
    #[error("the body has a document type declaration, which is not read here")]
    DocumentType,
    /// Nested too deep.
    #[error("the body is nested more than {0} deep")]
    TooDeep(usize),
    /// Too many values of any kind.
    #[error("the body has more than {0} values")]
    TooMany(usize),
    /// Not a list of RFC 6902 operations; the first that is none counts from 1.
    #[error("operation {0} of the patch is not valid")]
    PatchOperation(usize),
    /// An operation, counted from 1, does not apply, or its test fails.
    #[error("operation {0} of the patch cannot be applied")]
    PatchFailed(usize),
    /// The patch has too many operations, or copies too much.
    #[error("the patch has more than {0} operations, or copies too much")]
    PatchTooLarge(usize),
}

/// A property has another type than the call needs; tells which and never quotes its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} must be {expected}, not {found}", if property.is_empty() { "the body" } else { property })]
pub struct WrongType {
    /// The property's path, with the names of the call's description; empty for the whole body.
    pub property: String,
    /// What the call needs.
    pub expected: Kind,
    /// What the body has.
    pub found: Kind,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// True or false.
    Boolean,
    /// A number.
    Number,
    /// A number without a fraction.
    Integer,
    /// A number with a fraction, where one without is needed.
    Fraction,
    /// Text.
    String,
    /// A list.
    Array,
    /// Properties.
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::Fraction => "a number with a fraction",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// What a tree was written in, as far as it is seen in the tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Json,
    /// Cannot tell an empty text from an object without properties.
    Xml,
    /// May leave out the path to a property (CONTRACT 11).
    Form,
}

/// A body: the root of a tree whose names are all lower case. It may hold secrets, so it does not
/// print itself.
pub struct Body {
    tree: Value,
    syntax: Syntax,
}

impl Body {
    /// No properties.
    pub fn empty() -> Self {
        Self { tree: Value::Object(Map::new()), syntax: Syntax::Json }
    }

    /// Reads a body of any type (CONTRACT 9–13). One of white space, or null, is as good as empty.
    ///
    /// ```
    /// use negotiate::{ContentType, body::Body};
    ///
    /// let json = ContentType::parse(Some("application/json"))?;
    /// let xml = ContentType::parse(Some("text/xml; charset=iso-8859-1"))?;
    /// let form = ContentType::parse(Some("application/x-www-form-urlencoded"))?;
    /// for body in [
    ///     Body::read(json, r#"{"carrier": {"PROVIDER": "å"}}"#.as_bytes())?,
    ///     Body::read(xml, b"<x><Carrier><Provider>\xe5</Provider></Carrier></x>")?,
    ///     Body::read(form, b"Carrier[provider]=%C3%A5")?,
    /// ] {
    ///     let carrier = body.root()?.object("Carrier")?.expect("there");
    ///     assert_eq!(carrier.string("Provider")?, Some("å"));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(content_type: ContentType, bytes: &[u8]) -> Result<Self, Malformed> {
        let ContentType { media_type, charset } = content_type;
        let (tree, syntax) = match media_type {
            MediaType::ApplicationJson | MediaType::TextJson => {
                (json::parse(&decode(charset, bytes)?)?, Syntax::Json)
            }
            MediaType::ApplicationXml | MediaType::TextXml => {
                (xml::parse(&xml::decode(charset, bytes)?)?, Syntax::Xml)
            }
            MediaType::Form => {
                (form::parse(charset.unwrap_or(Charset::Utf8), bytes)?, Syntax::Form)
            }
            MediaType::JsonPatch => {
                (patch::json_patch(json::parse(&decode(charset, bytes)?)?)?, Syntax::Json)
            }
            MediaType::MergePatch => {
                (patch::merge_patch(json::parse(&decode(charset, bytes)?)?), Syntax::Json)
            }
        };
        let is_empty = match &tree {
            Value::Null => true,
            Value::String(text) => syntax == Syntax::Xml && is_blank(text),
            _ => false,
        };
        if is_empty { Ok(Self::empty()) } else { Ok(Self { tree, syntax }) }
    }

    /// The root's properties.
    pub fn root(&self) -> Result<Object<'_>, WrongType> {
        match &self.tree {
            Value::Object(members) => {
                Ok(Object { path: String::new(), members, plain: None, syntax: self.syntax })
            }
            other => Err(wrong_type(String::new(), Kind::Object, other)),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(redacted)")
    }
}

fn decode(charset: Option<Charset>, bytes: &[u8]) -> Result<Cow<'_, str>, NotText> {
    Charset::of_start(bytes, charset).unwrap_or(Charset::Utf8).decode(bytes)
}

/// Some of a body's properties, and where they are.
pub struct Object<'a> {
    path: String,
    members: &'a Map<String, Value>,
    /// Where a form has properties whose path it left out.
    plain: Option<&'a Map<String, Value>>,
    syntax: Syntax,
}

static NO_MEMBERS: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

impl<'a> Object<'a> {
    /// The path of a property, as errors name it.
    pub fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The property as an object; `None` if it is missing or null. In a form that has any fields
    /// it is never missing, since its own properties may stand there by their plain names.
    pub fn object(&self, name: &str) -> Result<Option<Object<'a>>, WrongType> {
        let plain = (self.syntax == Syntax::Form).then_some(self.members);
        let object = |members| {
            Some(Object { path: self.path_to(name), members, plain, syntax: self.syntax })
        };
        match self.member(name) {
            None | Some(Value::Null) if plain.is_some_and(|plain| !plain.is_empty()) => {
                Ok(object(&*NO_MEMBERS))
            }
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(members)) => Ok(object(members)),
            Some(Value::String(text)) if self.syntax == Syntax::Xml && is_blank(text) => {
                Ok(object(&*NO_MEMBERS))
            }
            Some(other) => Err(wrong_type(self.path_to(name), Kind::Object, other)),
        }
    }

    /// The property as text; `None` if it is missing or null.
    ///
    /// ```
    /// use negotiate::{ContentType, body::Body};
    ///
    /// let json = ContentType::parse(Some("application/json"))?;
    /// let body = Body::read(json, br#"{"KEY": "lk_1", "other": 1}"#)?;
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
            Some(other) => Err(wrong_type(self.path_to(name), Kind::String, other)),
        }
    }

    /// The property as true or false; `None` if it is missing or null. In XML and in a form it is text:
    /// `true`, `false`, `1` or `0`, and empty text is as good as none.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, WrongType> {
        let found = match self.member(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(found) => found,
        };
        let value = match (found, self.plain_text(found)) {
            (Value::Bool(value), _) => Some(*value),
            (_, Some("")) => return Ok(None),
            (_, Some(text)) if text == "1" || text.eq_ignore_ascii_case("true") => Some(true),
            (_, Some(text)) if text == "0" || text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        value.map(Some).ok_or_else(|| wrong_type(self.path_to(name), Kind::Boolean, found))
    }

    /// The property as a whole number, `5.0` too; `None` if it is missing or null. In XML and in a form it is
    /// text, and empty text counts as none. A number that is too large is read as the largest one, so that a limit
    /// refuses it.
    ///
    /// ```
    /// use negotiate::{ContentType, body::Body};
    ///
    /// let json = ContentType::parse(Some("application/json"))?;
    /// let body = Body::read(json, br#"{"Limit": 10, "Half": 0.5, "Text": "10"}"#)?;
    /// assert_eq!(body.root()?.integer("limit")?, Some(10));
    /// let error = body.root()?.integer("Half").unwrap_err();
    /// assert_eq!(error.to_string(), "Half must be a whole number, not a number with a fraction");
    /// assert!(body.root()?.integer("Text").is_err());
    /// let form = ContentType::parse(Some("application/x-www-form-urlencoded"))?;
    /// assert_eq!(Body::read(form, b"Limit=10")?.root()?.integer("Limit")?, Some(10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn integer(&self, name: &str) -> Result<Option<i64>, WrongType> {
        let found = match self.member(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(found) => found,
        };
        let (whole, number): (Option<i64>, Option<f64>) = match (found, self.plain_text(found)) {
            (_, Some("")) => return Ok(None),
            (_, Some(text)) => {
                (text.parse().ok(), text.parse().ok().filter(|n: &f64| n.is_finite()))
            }
            (found, None) => (found.as_i64(), found.as_f64()),
        };
        match (whole, number) {
            (Some(whole), _) => Ok(Some(whole)),
            // The conversion takes the nearest whole number that there is.
            (None, Some(number)) if number.fract() == 0.0 => Ok(Some(number as i64)),
            (None, Some(_)) => Err(WrongType {
                property: self.path_to(name),
                expected: Kind::Integer,
                found: Kind::Fraction,
            }),
            (None, None) => Err(wrong_type(self.path_to(name), Kind::Integer, found)),
        }
    }

    /// Every property as text, by its name in lower case; one that is null is left out.
    ///
    /// ```
    /// use negotiate::{ContentType, body::Body};
    ///
    /// let json = ContentType::parse(Some("application/json"))?;
    /// let body = Body::read(json, br#"{"Parameters": {"Region": "eu", "other": null}}"#)?;
    /// let parameters = body.root()?.object("Parameters")?.expect("it is there");
    /// assert_eq!(parameters.strings()?, [("region", "eu")].into());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn strings(&self) -> Result<BTreeMap<&'a str, &'a str>, WrongType> {
        let named = |(name, value): (&'a String, &'a Value)| match value {
            Value::Null => None,
            Value::String(text) => Some(Ok((name.as_str(), text.as_str()))),
            other => Some(Err(wrong_type(self.path_to(name), Kind::String, other))),
        };
        self.members.iter().filter_map(named).collect()
    }

    /// What a type that knows only text has for a number or a truth value.
    fn plain_text(&self, value: &'a Value) -> Option<&'a str> {
        value.as_str().filter(|_text| self.syntax != Syntax::Json).map(str::trim)
    }

    fn member(&self, name: &str) -> Option<&'a Value> {
        let name = name.to_ascii_lowercase();
        self.members.get(&name).or_else(|| self.plain?.get(&name))
    }
}

/// White space as XML, JSON and HTTP have it.
fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

fn wrong_type(property: String, expected: Kind, found: &Value) -> WrongType {
    let found = match found {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Boolean,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::String,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    };
    WrongType { property, expected, found }
}

#[cfg(test)]
mod tests;
