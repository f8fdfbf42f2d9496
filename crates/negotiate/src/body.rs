//! Request bodies as trees whose names have no case.
//!
//! Invariant: a body of any format is read through `Object` or `Body::deserialize`, so that a missing, null or
//! ill-typed property is the same error, with the same path, in every format.

mod array;
mod deserialize;
mod fields;
mod form;
mod json;
mod patch;
#[cfg(feature = "xml")]
mod xml;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde_json::{Map, Value};

pub use self::{
    array::Array,
    deserialize::{DeserializeError, Unfit},
    fields::{Fields, Repeated},
};
use crate::{Charset, ContentType, MediaType, NotText};

/// The maximum depth of a body.
const MAX_DEPTH: usize = 32;
/// The maximum number of values in a body. A value can take hundreds of bytes of memory but only two bytes of the body.
const MAX_VALUES: usize = 20_000;

/// The body is not well-formed. The error says where, and never quotes the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes are not text in their charset.
    #[error("the body is {0}")]
    Text(#[from] NotText),
    /// The XML declaration names an unsupported encoding.
    #[error("the XML declaration names an encoding that is not read here")]
    XmlEncoding,
    /// The body is not JSON. Lines and columns count from 1.
    #[error("the body is not valid JSON (line {line}, column {column})")]
    Json {
        /// The line.
        line: usize,
        /// The column, in bytes.
        column: usize,
    },
    /// The body is not XML. The number is the byte at which the parser stopped.
    #[error("the body is not valid XML (byte {0})")]
    Xml(u64),
    /// XML without a JSON equivalent: an element with both text and child elements, or a nil element with content.
    #[error("the XML has text beside elements, or content in a nil element (byte {0})")]
    XmlMixed(u64),
    /// A reference to an entity other than the five that XML 1.0 predefines.
    #[error("the XML has an entity that is not one of XML's own five (byte {0})")]
    XmlEntity(u64),
    /// The `Content-Type` says form, but the body is of this type.
    #[error("the body is {}, sent as a form", .0.essence())]
    SentAsForm(MediaType),
    /// The XML has a document type declaration.
    #[error("the body has a document type declaration, which is not read here")]
    DocumentType,
    /// The body is nested deeper than this.
    #[error("the body is nested more than {0} deep")]
    TooDeep(usize),
    /// The body has more values than this.
    #[error("the body has more than {0} values")]
    TooMany(usize),
    /// An element of the array is not an operation of RFC 6902. The number counts from 1.
    #[error("operation {0} of the patch is not valid")]
    PatchOperation(usize),
    /// An operation cannot be applied, or its test failed. The number counts from 1.
    #[error("operation {0} of the patch cannot be applied")]
    PatchFailed(usize),
    /// The patch has more operations than this, or copies too much.
    #[error("the patch has more than {0} operations, or copies too much")]
    PatchTooLarge(usize),
}

/// A property has another type than the call needs. The error names the property and never quotes its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} must be {expected}, not {found}", if property.is_empty() { "the body" } else { property })]
pub struct WrongType {
    /// The path of the property, spelled as the code that reads it spells it. Empty for the whole body.
    pub property: String,
    /// The type that the call needs.
    pub expected: Kind,
    /// The type that the body has.
    pub found: Kind,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Null.
    Null,
    /// True or false.
    Boolean,
    /// A number.
    Number,
    /// A number without a fraction.
    Integer,
    /// A number with a fraction, where an integer is needed.
    Fraction,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
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

/// The syntax of a body, as far as it shows in the tree.
///
/// In XML and in forms a name that is repeated is an array of its values. Neither has arrays otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Json,
    /// Has no difference between an empty text and an object without properties.
    Xml,
    /// May leave out the path to a property.
    Form,
}

impl Syntax {
    /// The text of a value that may stand for a number or a boolean: any text, except in JSON.
    fn plain_text(self, value: &Value) -> Option<&str> {
        value.as_str().filter(|_text| self != Self::Json).map(str::trim)
    }

    /// The value of a name that may be repeated: the last one.
    fn last(self, value: &Value) -> &Value {
        match value {
            Value::Array(values) if self != Self::Json => values.last().unwrap_or(&Value::Null),
            value => value,
        }
    }
}

/// A body: the root of a tree whose names are all lower case. It may hold secrets, so its `Debug` output shows nothing.
pub struct Body {
    tree: Value,
    syntax: Syntax,
}

impl Body {
    /// A body without properties.
    pub fn empty() -> Self {
        Self { tree: Value::Object(Map::new()), syntax: Syntax::Json }
    }

    /// Reads a body of any type. A body of white space, and null, have no properties.
    ///
    /// - JSON is RFC 8259. Of names that are equal, or differ only by case, the last wins.
    /// - XML is XML 1.0. Names of the root, namespaces and attributes are ignored, except `xsi:nil`.
    /// - Forms are `application/x-www-form-urlencoded`. `Carrier.Name` and `Carrier[Name]` name a nested property.
    /// - JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7396) are applied to an empty object.
    ///
    /// # Errors
    /// The body is malformed, nested deeper than 32, or has more than 20,000 values.
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
            #[cfg(feature = "xml")]
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

    /// The properties of the root.
    ///
    /// # Errors
    /// The body is not an object.
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

/// An object in a body: its properties and its path.
///
/// Names are compared without case. A name that is repeated has its last value, except in `array`.
pub struct Object<'a> {
    path: String,
    members: &'a Map<String, Value>,
    /// The properties around it, in a form: there a property may leave out its path.
    plain: Option<&'a Map<String, Value>>,
    syntax: Syntax,
}

static NO_MEMBERS: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

impl<'a> Object<'a> {
    /// The path of a property, as errors show it.
    pub fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The property as an object; `None` if it is missing or null.
    ///
    /// In a form with any fields it is never missing, because a form may leave out the path to its properties.
    ///
    /// # Errors
    /// The property has another type.
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
            Some(value) => match members(value, self.syntax) {
                Some(members) => Ok(object(members)),
                None => Err(wrong_type(self.path_to(name), Kind::Object, value)),
            },
        }
    }

    /// The property as an array; `None` if it is missing or null.
    ///
    /// | | an array of `a` and `b` |
    /// |---|---|
    /// | JSON | `"Tags": ["a", "b"]` |
    /// | XML | `<Tags>a</Tags><Tags>b</Tags>`, or `<Tags><Item>a</Item><Item>b</Item></Tags>` as `write_answer` writes |
    /// | form | `Tags=a&Tags=b`, `Tags[]=a&Tags[]=b`, or `Tags[0]=a&Tags[1]=b` |
    ///
    /// XML and forms do not mark an array of one. There a property that is not repeated is an array of itself, and an
    /// empty one is an empty array.
    ///
    /// ```
    /// use negotiate::{ContentType, body::Body};
    ///
    /// for (content_type, body) in [
    ///     ("application/json", r#"{"Tags": ["a", "b"], "Lines": [{"Count": 1}, {"Count": 2}]}"#),
    ///     ("text/xml", "<x><Tags><Item>a</Item><Item>b</Item></Tags>\
    ///         <Lines><Count>1</Count></Lines><Lines><Count>2</Count></Lines></x>"),
    ///     ("application/x-www-form-urlencoded", "Tags=a&Tags=b&Lines[0].Count=1&Lines[1].Count=2"),
    /// ] {
    ///     let body = Body::read(ContentType::parse(Some(content_type))?, body.as_bytes())?;
    ///     let tags = body.root()?.array("Tags")?.expect("there");
    ///     assert_eq!(tags.strings()?, ["a", "b"]);
    ///     let lines = body.root()?.array("Lines")?.expect("there");
    ///     assert_eq!(lines.objects()?[1].integer("Count")?, Some(2));
    ///     assert_eq!(lines.objects()?[1].path_to("Count"), "Lines[1].Count");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The property has another type. Only JSON tells an array from another type.
    pub fn array(&self, name: &str) -> Result<Option<Array<'a>>, WrongType> {
        match self.found(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => Array::new(self.path_to(name), value, self.syntax).map(Some),
        }
    }

    /// The property as text; `None` if it is missing or null.
    ///
    /// # Errors
    /// The property has another type.
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
        self.read(name, Kind::String, |value| value.as_str().map(Some).ok_or_else(|| kind(value)))
    }

    /// The property as a boolean; `None` if it is missing or null.
    ///
    /// In XML and in forms it is the text `true`, `false`, `1` or `0`. Empty text is `None`.
    ///
    /// # Errors
    /// The property has another type.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, WrongType> {
        self.read(name, Kind::Boolean, |value| boolean(value, self.syntax))
    }

    /// The property as a whole number, such as `5` or `5.0`; `None` if it is missing or null.
    ///
    /// In XML and in forms it is text. Empty text is `None`. A number out of range becomes the closest `i64`, so that a
    /// limit can reject it.
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
    ///
    /// # Errors
    /// The property has another type, or a fraction.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, WrongType> {
        self.read(name, Kind::Integer, |value| integer(value, self.syntax))
    }

    /// All properties as text, by their names in lower case. Properties that are null are left out.
    ///
    /// # Errors
    /// A property has another type.
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
        let named = |(name, value): (&'a String, &'a Value)| match self.syntax.last(value) {
            Value::Null => None,
            Value::String(text) => Some(Ok((name.as_str(), text.as_str()))),
            other => Some(Err(wrong_type(self.path_to(name), Kind::String, other))),
        };
        self.members.iter().filter_map(named).collect()
    }

    /// A property by a function that gives its value, or else the type that was found.
    fn read<T>(
        &self,
        name: &str,
        expected: Kind,
        convert: impl FnOnce(&'a Value) -> Result<Option<T>, Kind>,
    ) -> Result<Option<T>, WrongType> {
        let wrong = |found| WrongType { property: self.path_to(name), expected, found };
        match self.member(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => convert(value).map_err(wrong),
        }
    }

    /// The last value of a name.
    fn member(&self, name: &str) -> Option<&'a Value> {
        self.found(name).map(|value| self.syntax.last(value))
    }

    /// All values of a name.
    fn found(&self, name: &str) -> Option<&'a Value> {
        let name = name.to_ascii_lowercase();
        self.members.get(&name).or_else(|| self.plain?.get(&name))
    }
}

/// The properties of a value that is an object. XML does not tell an object without properties from an empty text.
fn members(value: &Value, syntax: Syntax) -> Option<&Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        Value::String(text) if syntax == Syntax::Xml && is_blank(text) => Some(&NO_MEMBERS),
        _ => None,
    }
}

fn boolean(value: &Value, syntax: Syntax) -> Result<Option<bool>, Kind> {
    match (value, syntax.plain_text(value)) {
        (Value::Bool(value), _) => Ok(Some(*value)),
        (_, Some("")) => Ok(None),
        (_, Some(text)) if text == "1" || text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        (_, Some(text)) if text == "0" || text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        _ => Err(kind(value)),
    }
}

fn integer(value: &Value, syntax: Syntax) -> Result<Option<i64>, Kind> {
    let (whole, number): (Option<i64>, Option<f64>) = match syntax.plain_text(value) {
        Some("") => return Ok(None),
        Some(text) => (text.parse().ok(), text.parse().ok().filter(|n: &f64| n.is_finite())),
        None => (value.as_i64(), value.as_f64()),
    };
    match (whole, number) {
        (Some(whole), _) => Ok(Some(whole)),
        // The conversion saturates.
        (None, Some(number)) if number.fract() == 0.0 => Ok(Some(number as i64)),
        (None, Some(_)) => Err(Kind::Fraction),
        (None, None) => Err(kind(value)),
    }
}

/// Adds a value in XML or in a form, where a name that is repeated is an array of its values.
fn repeat(members: &mut Map<String, Value>, name: &str, value: Value) {
    match members.get_mut(name) {
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
        None => drop(members.insert(name.to_owned(), value)),
    }
}

/// Whether a text is white space as XML, JSON and HTTP define it.
fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

fn wrong_type(property: String, expected: Kind, found: &Value) -> WrongType {
    WrongType { property, expected, found: kind(found) }
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Null => Kind::Null,
        Value::Bool(_) => Kind::Boolean,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::String,
        Value::Array(_) => Kind::Array,
        Value::Object(_) => Kind::Object,
    }
}

#[cfg(all(test, feature = "xml"))]
mod tests;
