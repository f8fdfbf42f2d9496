//! Arrays, as each syntax writes them.
//!
//! Invariant: an array of any syntax has the same elements in the same order, under the same paths.

use serde_json::Value;

use super::{
    Kind, Object, Syntax, WrongType, boolean, integer, is_blank, kind, members, wrong_type,
};

/// The name of the elements of an array in XML, as `write_answer` writes it, in lower case.
const ITEM: &str = "item";

/// An array in a body: its elements and its path.
pub struct Array<'a> {
    path: String,
    items: Vec<&'a Value>,
    syntax: Syntax,
}

impl<'a> Array<'a> {
    pub(super) fn new(path: String, value: &'a Value, syntax: Syntax) -> Result<Self, WrongType> {
        match items(value, syntax) {
            Some(items) => Ok(Self { path, items, syntax }),
            None => Err(wrong_type(path, Kind::Array, value)),
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The elements as objects.
    ///
    /// # Errors
    /// An element is null or has another type.
    pub fn objects(&self) -> Result<Vec<Object<'a>>, WrongType> {
        let object = |(at, value)| {
            let members = members(value, self.syntax).ok_or_else(|| kind(value))?;
            Ok(Object { path: self.path_to(at), members, plain: None, syntax: self.syntax })
        };
        self.read(Kind::Object, object)
    }

    /// The elements as text.
    ///
    /// # Errors
    /// An element is null or has another type.
    pub fn strings(&self) -> Result<Vec<&'a str>, WrongType> {
        self.read(Kind::String, |(_, value)| value.as_str().ok_or_else(|| kind(value)))
    }

    /// The elements as booleans, each as in [`Object::boolean`].
    ///
    /// # Errors
    /// An element is null, empty, or has another type.
    pub fn booleans(&self) -> Result<Vec<bool>, WrongType> {
        let read = |value| boolean(value, self.syntax)?.ok_or_else(|| kind(value));
        self.read(Kind::Boolean, |(_, value)| read(value))
    }

    /// The elements as whole numbers, each as in [`Object::integer`].
    ///
    /// # Errors
    /// An element is null, empty, or has another type or a fraction.
    pub fn integers(&self) -> Result<Vec<i64>, WrongType> {
        let read = |value| integer(value, self.syntax)?.ok_or_else(|| kind(value));
        self.read(Kind::Integer, |(_, value)| read(value))
    }

    fn path_to(&self, at: usize) -> String {
        format!("{}[{at}]", self.path)
    }

    fn read<T>(
        &self,
        expected: Kind,
        convert: impl Fn((usize, &'a Value)) -> Result<T, Kind>,
    ) -> Result<Vec<T>, WrongType> {
        let read = |(at, value): (usize, &'a Value)| {
            let wrong = |found| WrongType { property: self.path_to(at), expected, found };
            convert((at, value)).map_err(wrong)
        };
        self.items.iter().copied().enumerate().map(read).collect()
    }
}

/// The elements of a value that is an array.
pub(super) fn items(value: &Value, syntax: Syntax) -> Option<Vec<&Value>> {
    match (syntax, value) {
        (_, Value::Array(items)) => Some(items.iter().collect()),
        (Syntax::Json, _) => None,
        (_, Value::String(text)) if is_blank(text) => Some(Vec::new()),
        (Syntax::Xml, Value::Object(members)) if members.len() == 1 => {
            Some(members.get(ITEM).map_or_else(|| vec![value], one_or_more))
        }
        (Syntax::Form, Value::Object(members))
            if members.len() == 1 && members.contains_key("") =>
        {
            Some(members.get("").map_or_else(Vec::new, one_or_more))
        }
        (Syntax::Form, Value::Object(members)) => {
            let index = |(name, value)| {
                let name: &String = name;
                let is_index = name.bytes().all(|digit| digit.is_ascii_digit());
                Some((name.parse::<usize>().ok().filter(|_| is_index)?, value))
            };
            let indexed: Option<Vec<(usize, &Value)>> = members.iter().map(index).collect();
            let Some(mut indexed) = indexed.filter(|indexed| !indexed.is_empty()) else {
                return Some(vec![value]);
            };
            indexed.sort_by_key(|(index, _)| *index);
            Some(indexed.into_iter().map(|(_, value)| syntax.last(value)).collect())
        }
        _ => Some(vec![value]),
    }
}

/// The values of a name in XML or in a form.
fn one_or_more(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    }
}
