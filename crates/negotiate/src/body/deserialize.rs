//! Bodies as values of types that implement `serde::Deserialize`.
//!
//! Invariant: an error names the path of the property. Its text quotes nothing of the body but names, unless a type's
//! own message does.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, Error, Expected, IntoDeserializer,
        MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

use super::{Body, Kind, Syntax, array, boolean, kind, members};

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

impl Body {
    /// Reads the body as a value of a type that implements `serde::Deserialize`.
    ///
    /// - Names of fields and of variants with content are compared without case. A `#[serde(flatten)]` field gets names
    ///   in lower case, and so do maps.
    /// - In XML and in forms numbers and booleans are text. A type that takes any type, such as `serde_json::Value` or
    ///   an untagged enum, gets text.
    /// - In XML and in forms an empty text is `None` for an `Option`.
    /// - Arrays are written as [`Object::array`](super::Object::array) says.
    /// - A form may not leave out the path to a property, unlike with [`Object::object`](super::Object::object).
    ///
    /// ```
    /// use negotiate::{ContentType, body::Body};
    ///
    /// #[derive(serde::Deserialize)]
    /// #[serde(rename_all = "PascalCase")]
    /// struct Order {
    ///     customer: String,
    ///     lines: Vec<Line>,
    /// }
    ///
    /// #[derive(serde::Deserialize)]
    /// #[serde(rename_all = "PascalCase")]
    /// struct Line {
    ///     count: u32,
    /// }
    ///
    /// let xml = ContentType::parse(Some("application/xml"))?;
    /// let body = b"<x><Customer>Eva</Customer><Lines><Count>1</Count></Lines><Lines><Count>2</Count></Lines></x>";
    /// let order: Order = Body::read(xml, body)?.deserialize()?;
    /// assert_eq!((order.customer.as_str(), order.lines[1].count), ("Eva", 2));
    ///
    /// let form = ContentType::parse(Some("application/x-www-form-urlencoded"))?;
    /// let body = Body::read(form, b"customer=Eva&lines[0].count=1&lines[1].count=x")?;
    /// let error = body.deserialize::<Order>().err().expect("x is no count");
    /// assert_eq!(error.to_string(), "Lines[1].Count must be a whole number, not a string");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The body does not fit the type.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, DeserializeError> {
        T::deserialize(Node { value: &self.tree, syntax: self.syntax })
    }
}

impl DeserializeError {
    fn new(unfit: Unfit) -> Self {
        Self { property: String::new(), unfit }
    }

    /// The error, of a property of this name.
    fn within(self, name: &str) -> Self {
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

/// A value of the tree, which deserializes itself.
#[derive(Clone, Copy)]
struct Node<'de> {
    value: &'de Value,
    syntax: Syntax,
}

/// A number as it is written.
enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl<'de> Node<'de> {
    /// The value, of a name that may be repeated.
    fn last(self) -> &'de Value {
        self.syntax.last(self.value)
    }

    fn wrong_type(self, expected: &str) -> DeserializeError {
        let found = kind(self.last());
        DeserializeError::new(Unfit::Type { expected: expected.to_owned(), found })
    }

    fn is_empty_text(self) -> bool {
        self.syntax != Syntax::Json && self.value.as_str().is_some_and(str::is_empty)
    }

    fn number(self) -> Option<Number> {
        let value = self.last();
        let (unsigned, signed, float): (Option<u64>, Option<i64>, Option<f64>) =
            match self.syntax.plain_text(value) {
                Some(text) => (text.parse().ok(), text.parse().ok(), text.parse().ok()),
                None => (value.as_u64(), value.as_i64(), value.as_f64()),
            };
        let float = float.filter(|number| number.is_finite()).map(Number::Float);
        unsigned.map(Number::Unsigned).or(signed.map(Number::Signed)).or(float)
    }

    fn visit_number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        match self.number().ok_or_else(|| self.wrong_type("a number"))? {
            Number::Unsigned(number) => visitor.visit_u64(number),
            Number::Signed(number) => visitor.visit_i64(number),
            Number::Float(number) => visitor.visit_f64(number),
        }
    }

    /// A number without a fraction, however it is written. One that is out of range is out of that of any integer.
    fn visit_integer<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        let expected = "a whole number";
        match self.number().ok_or_else(|| self.wrong_type(expected))? {
            Number::Unsigned(number) => visitor.visit_u64(number),
            Number::Signed(number) => visitor.visit_i64(number),
            Number::Float(number) if number.fract() != 0.0 => {
                let (expected, found) = (expected.to_owned(), Kind::Fraction);
                Err(DeserializeError::new(Unfit::Type { expected, found }))
            }
            // A saturated number is not the one that was written.
            Number::Float(number) if number < i64::MIN as f64 || number >= u64::MAX as f64 => {
                Err(Error::invalid_value(Unexpected::Float(number), &visitor))
            }
            Number::Float(number) if number < 0.0 => visitor.visit_i64(number as i64),
            Number::Float(number) => visitor.visit_u64(number as u64),
        }
    }

    fn visit_text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        match self.last() {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => Err(self.wrong_type("a string")),
        }
    }

    fn visit_items<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeserializeError> {
        let items = array::items(self.value, self.syntax);
        let items = items.ok_or_else(|| self.wrong_type("an array"))?;
        let length = items.len();
        let mut items = Items { items: items.into_iter(), at: 0, syntax: self.syntax };
        let visited = visitor.visit_seq(&mut items)?;
        if items.items.len() == 0 {
            return Ok(visited);
        }
        let expected = format!("an array of at most {} elements", length - items.items.len());
        Err(DeserializeError::new(Unfit::Value { expected }))
    }

    /// The properties of an object, under the spelling of the fields if there are any.
    fn visit_members<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        let members = members(self.last(), self.syntax);
        let members = members.ok_or_else(|| self.wrong_type("an object"))?;
        visitor.visit_map(Members {
            members: members.iter(),
            fields,
            next: None,
            syntax: self.syntax,
        })
    }
}

/// The name among these that is equal but for case, or else the name itself.
fn spelled<'a>(name: &'a str, known: &'static [&'static str]) -> &'a str {
    known.iter().find(|known| known.eq_ignore_ascii_case(name)).map_or(name, |known| *known)
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = DeserializeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(_) => self.visit_number(visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(_) => self.visit_items(visitor),
            Value::Object(_) => self.visit_members(&[], visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match boolean(self.last(), self.syntax) {
            Ok(Some(value)) => visitor.visit_bool(value),
            Ok(None) | Err(_) => Err(self.wrong_type("a boolean")),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_integer(visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_number(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_number(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_text(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.value.is_null() || self.is_empty_text() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.value.is_null() || self.is_empty_text() {
            visitor.visit_unit()
        } else {
            Err(self.wrong_type("null"))
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_items(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.visit_items(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.visit_items(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.visit_members(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.visit_members(fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.last() {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Object(members) if members.len() == 1 => {
                visitor.visit_enum(Variant { members, variants, syntax: self.syntax })
            }
            _ => Err(self.wrong_type("a string, or an object with one property")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bytes byte_buf identifier }
}

/// The elements of an array.
struct Items<'de> {
    items: std::vec::IntoIter<&'de Value>,
    at: usize,
    syntax: Syntax,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = DeserializeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DeserializeError> {
        let Some(value) = self.items.next() else { return Ok(None) };
        let at = self.at;
        self.at += 1;
        let read = seed.deserialize(Node { value, syntax: self.syntax });
        read.map(Some).map_err(|error| error.within(&format!("[{at}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The properties of an object.
struct Members<'de> {
    members: serde_json::map::Iter<'de>,
    fields: &'static [&'static str],
    /// The property whose name was given last.
    next: Option<(&'de str, &'de Value)>,
    syntax: Syntax,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = DeserializeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DeserializeError> {
        let Some((name, value)) = self.members.next() else { return Ok(None) };
        let name = spelled(name, self.fields);
        self.next = Some((name, value));
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DeserializeError> {
        let (name, value) = self.next.take().unwrap_or(("", &Value::Null));
        let read = seed.deserialize(Node { value, syntax: self.syntax });
        read.map_err(|error| error.within(name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.members.len())
    }
}

/// A variant with content: an object whose one property has the variant's name.
struct Variant<'de> {
    members: &'de Map<String, Value>,
    variants: &'static [&'static str],
    syntax: Syntax,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = DeserializeError;
    type Variant = Content<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'de>), DeserializeError> {
        let member = self.members.iter().next();
        let (name, value) = member.map_or(("", &Value::Null), |(name, value)| (&**name, value));
        let name = spelled(name, self.variants);
        let variant = StrDeserializer::<DeserializeError>::new(name);
        let content = Content { name, node: Node { value, syntax: self.syntax } };
        Ok((seed.deserialize(variant)?, content))
    }
}

/// The content of a variant.
struct Content<'de> {
    name: &'de str,
    node: Node<'de>,
}

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = DeserializeError;

    fn unit_variant(self) -> Result<(), DeserializeError> {
        let unit = serde::Deserialize::deserialize(self.node);
        unit.map_err(|error: DeserializeError| error.within(self.name))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DeserializeError> {
        seed.deserialize(self.node).map_err(|error| error.within(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        self.node.visit_items(visitor).map_err(|error| error.within(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeserializeError> {
        self.node.visit_members(fields, visitor).map_err(|error| error.within(self.name))
    }
}

#[cfg(all(test, feature = "xml"))]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::{ContentType, MediaType};

    fn body(media_type: MediaType, text: &str) -> Body {
        let content_type = ContentType { media_type, charset: None };
        Body::read(content_type, text.as_bytes()).expect(text)
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Order {
        name: String,
        urgent: bool,
        weight: f64,
        #[serde(default)]
        tags: Vec<String>,
        #[serde(default)]
        lines: Vec<Line>,
        note: Option<String>,
        limit: Option<u8>,
        speed: Option<Speed>,
        address: Option<Address>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase", deny_unknown_fields)]
    struct Line {
        count: i32,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Speed {
        Slow,
        Fast,
        #[serde(rename = "perHour")]
        PerHour(u32),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Address {
        zip_code: String,
        extra: BTreeMap<String, String>,
    }

    #[test]
    fn each_syntax_gives_the_same_value() {
        let json = r#"{"NAME": "A&B", "urgent": true, "weight": 2.5, "Tags": ["x", "y"],
            "lines": [{"count": -1}, {"Count": 2.0}], "note": null, "Limit": 7, "speed": "Fast",
            "address": {"zipcode": "0150", "Extra": {"Floor": "2"}}, "unknown": [1]}"#;
        let xml = "<x><Name>A&amp;B</Name><Urgent>1</Urgent><Weight> 2.5 </Weight>\
            <Tags><Item>x</Item><Item>y</Item></Tags>\
            <Lines><Count>-1</Count></Lines><Lines><Count>2</Count></Lines><Note/>\
            <Limit>7</Limit><Speed>Fast</Speed>\
            <Address><ZipCode>0150</ZipCode><Extra><Floor>2</Floor></Extra></Address><Unknown/></x>";
        let form = "name=A%26B&urgent=true&weight=2.5&tags=x&tags=y&lines[1].count=2&lines[0].count=-1\
            &note=&limit=7&speed=Fast&address.zipCode=0150&address[extra][floor]=2&unknown=1";
        let expected: Order = body(MediaType::ApplicationJson, json).deserialize().expect("JSON");
        assert_eq!(expected.name, "A&B");
        assert_eq!(expected.tags, ["x", "y"]);
        assert_eq!(expected.lines, [Line { count: -1 }, Line { count: 2 }]);
        assert_eq!((expected.note.as_deref(), expected.limit), (None, Some(7)));
        for (media_type, text) in [(MediaType::TextXml, xml), (MediaType::Form, form)] {
            assert_eq!(body(media_type, text).deserialize().as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_path() {
        let good = r#""name": "x", "urgent": true, "weight": 1"#;
        for (members, expected) in [
            (
                r#""lines": [{"count": 1}, {"count": "2"}]"#,
                "Lines[1].Count must be a whole number, not a string",
            ),
            (
                r#""lines": [{"count": 0.5}]"#,
                "Lines[0].Count must be a whole number, not a number with a fraction",
            ),
            (r#""lines": [{"count": 3000000000}]"#, "Lines[0].Count must be i32"),
            (r#""lines": [{"count": 1e300}]"#, "Lines[0].Count must be i32"),
            (r#""lines": [{}]"#, "Lines[0].Count is missing"),
            (r#""lines": [{"count": 1, "fugit": 2}]"#, "Lines[0].fugit is not a known property"),
            (r#""lines": {"count": 1}"#, "Lines must be an array, not an object"),
            (r#""lines": [1]"#, "Lines[0] must be an object, not a number"),
            (r#""tags": ["a", null]"#, "Tags[1] must be a string, not null"),
            (r#""limit": 300"#, "Limit must be u8"),
            (r#""urgent": 1"#, "Urgent must be a boolean, not a number"),
            (r#""name": null"#, "Name must be a string, not null"),
            (r#""speed": "fugit""#, "Speed must be one of: Slow, Fast, perHour"),
            (
                r#""speed": 1"#,
                "Speed must be a string, or an object with one property, not a number",
            ),
            (r#""speed": {"perhour": "x"}"#, "Speed.perHour must be a whole number, not a string"),
            (r#""address": {"extra": {}}"#, "Address.zipCode is missing"),
            (
                r#""address": {"zipcode": "1", "extra": {"a": []}}"#,
                "Address.extra.a must be a string, not an array",
            ),
        ] {
            let body = body(MediaType::ApplicationJson, &format!("{{{good}, {members}}}"));
            let error = body.deserialize::<Order>().expect_err(members);
            assert_eq!(error.to_string(), expected, "{members}");
        }
        let empty = Body::empty().deserialize::<Order>().expect_err("no name");
        assert_eq!(empty.to_string(), "Name is missing");
        let array = body(MediaType::ApplicationJson, "[]").deserialize::<Order>();
        assert_eq!(
            array.expect_err("an array").to_string(),
            "the body must be an object, not an array"
        );
    }

    #[test]
    fn variants_with_content_have_no_case() {
        for (media_type, text) in [
            (MediaType::ApplicationJson, r#"{"PERHOUR": 50}"#),
            (MediaType::TextXml, "<x><PerHour>50</PerHour></x>"),
            (MediaType::Form, "perhour=50"),
        ] {
            assert_eq!(body(media_type, text).deserialize(), Ok(Speed::PerHour(50)), "{text}");
        }
        assert_eq!(body(MediaType::TextXml, "<x>Slow</x>").deserialize(), Ok(Speed::Slow));
    }

    #[test]
    fn text_is_a_number_only_where_there_are_no_numbers() {
        type Numbers = BTreeMap<String, Option<u64>>;
        let read = |media_type, text| body(media_type, text).deserialize::<Numbers>();
        assert_eq!(
            read(MediaType::Form, "a=1&a=+2+&b="),
            read(MediaType::ApplicationJson, r#"{"a": 2, "b": null}"#)
        );
        for (media_type, text) in [
            (MediaType::ApplicationJson, r#"{"a": "2"}"#),
            (MediaType::ApplicationJson, r#"{"a": -1}"#),
            (MediaType::Form, "a=inf"),
            (MediaType::Form, "a=-1e-9"),
            (MediaType::TextXml, "<x><a>0x1</a></x>"),
        ] {
            let error = read(media_type, text).expect_err(text);
            assert_eq!(error.property, "a", "{text}");
        }
        let any: Value = body(MediaType::Form, "a=1&b=2&b=3").deserialize().expect("any");
        assert_eq!(any, serde_json::json!({"a": "1", "b": ["2", "3"]}));
    }

    #[test]
    fn the_type_decides_what_an_array_of_one_is() {
        type Lists = BTreeMap<String, Vec<String>>;
        for (media_type, text) in [
            (MediaType::ApplicationJson, r#"{"a": ["1"], "b": []}"#),
            (MediaType::TextXml, "<x><a>1</a><b/></x>"),
            (MediaType::TextXml, "<x><a><Item>1</Item></a><b> </b></x>"),
            (MediaType::Form, "a=1&b="),
            (MediaType::Form, "a[]=1&b="),
            (MediaType::Form, "a[7]=1&b="),
        ] {
            let lists: Lists = body(media_type, text).deserialize().expect(text);
            let expected = [("a".to_owned(), vec!["1".to_owned()]), ("b".to_owned(), vec![])];
            assert_eq!(lists, BTreeMap::from(expected), "{text}");
        }
        let pair = body(MediaType::ApplicationJson, "[1, 2, 3]").deserialize::<(u8, u8)>();
        assert_eq!(
            pair.expect_err("three").to_string(),
            "the body must be an array of at most 2 elements"
        );
        let pair = body(MediaType::ApplicationJson, "[1]").deserialize::<(u8, u8)>();
        assert_eq!(pair.expect_err("one").to_string(), "the body must be a tuple of size 2");
    }
}
