//! What a client's headers and bodies ask for: text in, decision out.
//!
//! Invariant: this crate knows no web framework and none of the product's other crates, and no input
//! makes it panic.

pub mod body;
mod media_type;

pub use media_type::{MediaType, UnsupportedMediaType};
