//! Bodies as values of types that implement `serde::Deserialize`.
//!
//! Invariant: an error names the path of the property. Its text quotes nothing of the body but names, unless a type's
//! own message does.

mod error;

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, Error, IntoDeserializer, MapAccess,
        SeqAccess, Unexpected, VariantAccess, Visitor,
        value::{BorrowedStrDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

pub use self::error::{DeserializeError, Unfit};
use super::{Body, Kind, Syntax, array, boolean, kind, members};

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

/// Methods of `Deserializer` that differ by their names alone.
macro_rules! visit {
    ($visit:ident: $($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
                self.$visit(visitor)
            }
        )*
    };
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

    visit! { visit_integer: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 }
    visit! { visit_integer: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 }
    visit! { visit_number: deserialize_f32 deserialize_f64 }
    visit! { visit_text: deserialize_char deserialize_str deserialize_string }
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
mod tests;
