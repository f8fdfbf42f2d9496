//! Content negotiation: header text and bytes in, decisions and trees out.
//!
//! Invariant: this crate knows no web framework and none of the product's other crates. No input makes it panic, hang,
//! or take more memory than a small multiple of the input's size and the given limit.
#![doc = include_str!("../README.md")]

mod accept;
mod answer;
pub mod body;
mod charset;
#[cfg(feature = "coding")]
mod content_coding;
#[cfg(feature = "culture")]
mod culture;
mod header;
mod language;
mod media_type;
mod multi_language;
mod query;
mod select;
mod string_reference;
#[cfg(feature = "time-zones")]
mod time_zone;
#[cfg(feature = "xml")]
mod xml_chars;

#[cfg(any(feature = "culture", feature = "time-zones"))]
pub use jiff;
pub use serde_json;

pub use accept::Accept;
pub use answer::{NotXml, WriteError, serialize_answer, write_answer};
pub use charset::{Charset, NotText};
#[cfg(feature = "coding")]
pub use content_coding::{ContentCoding, DecodeError, UnsupportedCoding};
#[cfg(feature = "culture")]
pub use culture::{Culture, UnknownCulture};
pub use header::join_lines;
pub use language::{Language, WantedLanguage, lookup, wanted_language};
pub use media_type::{ContentType, MediaType, NotAcceptable, UnsupportedMediaType};
pub use multi_language::multi_language;
pub use select::Select;
pub use string_reference::string_references;
#[cfg(feature = "time-zones")]
pub use time_zone::{TimeZone, UnknownTimeZone, WantedTimeZone, neutral_date_time};
