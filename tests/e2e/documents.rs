//! The OpenAPI document and the pages for people, as other programs read them.
//!
//! No database has a part in it, so it runs once, on SQLite.

mod openapi_document;
mod openapi_tools;
mod pages;
