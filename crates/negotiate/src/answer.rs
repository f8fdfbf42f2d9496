//! Answers in the negotiated type.
//!
//! Invariant: every type carries the same texts under the same names, or the answer is not written.

#[cfg(feature = "xml")]
mod xml;

use serde::Serialize;
use serde_json::Value;

use crate::MediaType;

/// The answer has a character that XML 1.0 cannot hold, such as U+0000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer has a character that XML cannot hold; JSON can")]
pub struct NotXml;

/// An answer cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It has a character that XML cannot hold.
    #[error(transparent)]
    NotXml(#[from] NotXml),
    /// Its type does not serialize, for example because a map has keys that are not text.
    #[error("the answer cannot be serialized: {0}")]
    Serialize(#[from] serde_json::Error),
}

/// Writes a tree as an answer, in XML if that is the type and otherwise in JSON.
///
/// In XML, `root` is the name of the root element, except that a string is a `string` element. There is no namespace.
/// Members that are null are left out, and any other null is a nil element. The elements of an array are `Item`. A name
/// that XML cannot hold is encoded as .NET does, such as `_x002F_` for a slash.
///
/// # Errors
/// The type is XML, and a value has a character that XML cannot hold.
///
/// ```
/// use negotiate::{MediaType, write_answer};
/// use serde_json::json;
///
/// let answer = json!({"Provider": "A&B", "Claims": null});
/// assert_eq!(
///     write_answer(&answer, "Carrier", MediaType::TextXml)?,
///     r#"<?xml version="1.0" encoding="utf-8"?><Carrier><Provider>A&amp;B</Provider></Carrier>"#
/// );
/// assert_eq!(
///     write_answer(&answer, "Carrier", MediaType::TextJson)?,
///     r#"{"Provider":"A&B","Claims":null}"#
/// );
/// # Ok::<(), negotiate::NotXml>(())
/// ```
#[cfg_attr(not(feature = "xml"), expect(unused_variables, reason = "JSON has no root element"))]
pub fn write_answer(answer: &Value, root: &str, media_type: MediaType) -> Result<String, NotXml> {
    #[cfg(feature = "xml")]
    if media_type.is_xml() {
        return xml::write(answer, root);
    }
    Ok(answer.to_string())
}

/// Writes any serializable value as an answer, as [`write_answer`] writes a tree.
///
/// ```
/// use negotiate::{MediaType, serialize_answer};
///
/// #[derive(serde::Serialize)]
/// struct Greeting<'a> {
///     text: &'a str,
///     copies: Vec<u8>,
/// }
///
/// let answer = Greeting { text: "Hei", copies: vec![1, 2] };
/// assert_eq!(
///     serialize_answer(&answer, "Greeting", MediaType::ApplicationJson)?,
///     r#"{"text":"Hei","copies":[1,2]}"#
/// );
/// assert_eq!(
///     serialize_answer(&answer, "Greeting", MediaType::ApplicationXml)?,
///     "<?xml version=\"1.0\" encoding=\"utf-8\"?><Greeting><text>Hei</text>\
///         <copies><Item>1</Item><Item>2</Item></copies></Greeting>"
/// );
/// # Ok::<(), negotiate::WriteError>(())
/// ```
///
/// # Errors
/// The value does not serialize, or has a character that the type cannot hold.
#[cfg_attr(not(feature = "xml"), expect(unused_variables, reason = "JSON has no root element"))]
pub fn serialize_answer<T: Serialize + ?Sized>(
    answer: &T,
    root: &str,
    media_type: MediaType,
) -> Result<String, WriteError> {
    let json = serde_json::to_string(answer)?;
    #[cfg(feature = "xml")]
    if media_type.is_xml() {
        // From the JSON, so that both have the same digits.
        return Ok(xml::write(&serde_json::from_str(&json)?, root)?);
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_value_is_written_as_its_tree_is() {
        let answer = BTreeMap::from([("a", Some(0.1_f32)), ("b", None)]);
        for media_type in MediaType::WRITTEN {
            let written = serialize_answer(&answer, "Root", *media_type).expect("an answer");
            let tree = serde_json::json!({"a": 0.1, "b": null});
            assert_eq!(Ok(written), write_answer(&tree, "Root", *media_type), "{media_type:?}");
        }
        let odd = BTreeMap::from([((1, 2), 3)]);
        let refused = serialize_answer(&odd, "Root", MediaType::ApplicationJson);
        assert!(matches!(refused, Err(WriteError::Serialize(_))), "{refused:?}");
    }
}
