//! The wire: the calls, their formats, languages, headers and errors.

mod api_index;
mod encodings;
mod errors;
mod every_route;
pub(crate) mod formats;
mod languages;
mod negotiation;
pub(crate) mod official_client;
mod paths;
mod request_headers;
mod save_and_get;
