//! The OpenAPI document and the pages for people, as other programs read them, and the how-tos.
//!
//! No database has a part in it, so it runs once, on SQLite.

mod client_programs;
mod how_to;
mod openapi_document;
mod openapi_tools;
mod pages;
