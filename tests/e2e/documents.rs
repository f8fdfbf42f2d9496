//! The OpenAPI document and the pages for people, as other programs read them, and the how-tos.
//!
//! They do not depend on the database, so these tests run once, on SQLite.

mod alerts;
mod book;
mod client_programs;
mod how_to;
mod openapi_document;
mod openapi_tools;
mod pages;
