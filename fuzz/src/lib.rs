//! The code that the targets of bodies share.
//!
//! Invariant: two bodies that a handler could distinguish by these names are seen as different.

use std::collections::HashMap;

use negotiate::{
    Charset, ContentType, MediaType,
    body::{Body, Malformed, Object, WrongType},
};
use serde_json::Value;

type Text = Result<Option<String>, WrongType>;

/// The parts of a body that a handler reads.
#[derive(Debug, PartialEq)]
pub enum Seen {
    /// The root is not an object.
    NoObject(WrongType),
    /// The texts of the root, and those of its carrier.
    Object(Vec<Text>, Result<Option<Vec<Text>>, WrongType>),
}

/// Reads a body without a charset.
pub fn read(media_type: MediaType, bytes: &[u8]) -> Result<Seen, Malformed> {
    read_as(media_type, None, bytes)
}

/// Reads a body as the server's agents do.
pub fn read_as(
    media_type: MediaType,
    charset: Option<Charset>,
    bytes: &[u8],
) -> Result<Seen, Malformed> {
    let body = Body::read(ContentType { media_type, charset }, bytes)?;
    look_at_all(&body);
    Ok(match body.root() {
        Ok(root) => {
            let carrier = root.object("TokenManagementInfo");
            Seen::Object(texts(&root), carrier.map(|carrier| carrier.as_ref().map(texts)))
        }
        Err(error) => Seen::NoObject(error),
    })
}

/// Reads a body in the other ways that there are.
fn look_at_all(body: &Body) {
    let _ = body.deserialize::<HashMap<String, Vec<Option<u8>>>>();
    let _ = body.deserialize::<(String, f32, bool)>();
    assert!(body.deserialize::<Value>().is_ok());
    if let Ok(Some(array)) = body.root().and_then(|root| root.array("A")) {
        let _ = (array.strings(), array.integers(), array.objects().map(|objects| objects.len()));
    }
}

impl Seen {
    /// Returns all texts that are present.
    pub fn present(&self) -> impl Iterator<Item = &str> {
        let (root, carrier) = match self {
            Self::NoObject(_) => (&[][..], None),
            Self::Object(root, carrier) => (&root[..], carrier.as_ref().ok()),
        };
        let carrier = carrier.and_then(Option::as_ref).into_iter().flatten();
        root.iter().chain(carrier).filter_map(|text| text.as_ref().ok()?.as_deref())
    }
}

/// Reads the texts of these names. Some are short so that a fuzzer finds them.
fn texts(object: &Object<'_>) -> Vec<Text> {
    let names = ["Key", "Provider", "A", ""];
    names.map(|name| object.string(name).map(|text| text.map(str::to_owned))).into()
}
