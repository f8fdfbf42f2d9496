//! A form as a flat list, for protocols whose names have a case and must not be repeated, such as OAuth.
//!
//! Invariant: reading a repeated name is an error, never one of its values.

use std::fmt;

use super::{Malformed, form};
use crate::Charset;

/// The maximum number of fields. OAuth has about ten.
const MOST_FIELDS: usize = 100;

/// The fields of a form. They may be secrets, so `Debug` does not show them.
pub struct Fields(Vec<(String, String)>);

/// A field is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is there more than once")]
pub struct Repeated(
    /// The name.
    pub &'static str,
);

impl Fields {
    /// Reads a form. Without a charset it is UTF-8.
    ///
    /// # Errors
    /// The form is malformed, or has more than 100 fields.
    ///
    /// ```
    /// use negotiate::body::{Fields, Repeated};
    ///
    /// let fields = Fields::read(None, b"scope=a+b&state=&x=1&x=2")?;
    /// assert_eq!(fields.get("scope"), Ok(Some("a b")));
    /// assert_eq!(fields.get("state"), Ok(None));
    /// assert_eq!(fields.get("x"), Err(Repeated("x")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read(charset: Option<Charset>, bytes: &[u8]) -> Result<Self, Malformed> {
        form::fields(charset.unwrap_or(Charset::Utf8), bytes, MOST_FIELDS).map(Self)
    }

    /// A form without fields.
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// The value of a field; `None` if it is missing or empty (RFC 6749 §3.2).
    ///
    /// # Errors
    /// The field is repeated.
    pub fn get(&self, name: &'static str) -> Result<Option<&str>, Repeated> {
        let mut values = self.values(name);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Repeated(name)),
            (value, None) => Ok(value),
        }
    }

    /// Whether a field has at least one value.
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(field, value)| field == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fields(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> Fields {
        Fields::read(None, form.as_bytes()).expect("a form")
    }

    /// CONTRACT 61: RFC 6749 §3.2: names have a case, an empty value is none, and none is there twice.
    #[test]
    fn a_field_is_there_once_or_not_at_all() {
        let fields = read("scope=a%20b&Scope=c&a.b=1&a[b]=2&empty=&empty=&x=&x=%2B&flag");
        assert_eq!(fields.get("scope"), Ok(Some("a b")));
        assert_eq!(fields.get("SCOPE"), Ok(None));
        assert_eq!((fields.get("a.b"), fields.get("a[b]")), (Ok(Some("1")), Ok(Some("2"))));
        assert_eq!((fields.get("empty"), fields.get("x")), (Ok(None), Ok(Some("+"))));
        assert!(!fields.has("flag") && fields.has("Scope"));
        for twice in ["x=1&x=1", "x=1&x=2", "x=1&y=&x=3"] {
            assert_eq!(read(twice).get("x"), Err(Repeated("x")), "{twice}");
            assert!(read(twice).has("x"));
        }
        assert_eq!(format!("{:?}", read("secret=x")), "Fields(…)");
        assert!(!Fields::empty().has("") && !read(" \r\n").has(""));
    }

    #[test]
    fn what_is_no_form_or_too_much_is_refused() {
        let refused = |form: &str| Fields::read(None, form.as_bytes()).map(drop);
        assert!(matches!(refused(r#"{"scope":"a"}"#), Err(Malformed::SentAsForm(_))));
        assert!(matches!(refused("a=%FF"), Err(Malformed::Text(_))));
        assert!(refused(&["a=1"; 100].join("&")).is_ok());
        assert_eq!(refused(&["a=1"; 101].join("&")), Err(Malformed::TooMany(100)));
        let latin = Fields::read(Some(Charset::Latin1), b"a=%E5").expect("a form");
        assert_eq!(latin.get("a"), Ok(Some("å")));
    }
}
