//! Content negotiation: header text and bytes in, decisions and trees out.
//!
//! Invariant: this crate knows no web framework and none of the product's other crates, and no input
//! makes it panic, hang, or take more memory than a small multiple of its own size and the limit that
//! was given.
#![doc = include_str!("../README.md")]

mod accept;
mod answer;
pub mod body;
mod charset;
mod content_coding;
mod culture;
mod language;
mod media_type;
mod multi_language;
mod query;
mod select;
mod string_reference;
mod time_zone;
mod xml_chars;

pub use jiff;
pub use serde_json;

pub use accept::Accept;
pub use answer::{NotXml, write_answer};
pub use charset::{Charset, NotText};
pub use content_coding::{ContentCoding, DecodeError, UnsupportedCoding};
pub use culture::{Culture, UnknownCulture};
pub use language::{Language, WantedLanguage, lookup, wanted_language};
pub use media_type::{ContentType, MediaType, NotAcceptable, UnsupportedMediaType};
pub use multi_language::multi_language;
pub use select::Select;
pub use string_reference::string_references;
pub use time_zone::{TimeZone, UnknownTimeZone, WantedTimeZone, neutral_date_time};
