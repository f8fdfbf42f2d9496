//! The tools of the tests: a server process, its clients, load on it, and checks for programs that a machine may lack.

pub(crate) mod app;
pub(crate) mod client;
pub(crate) mod issuer;
pub(crate) mod kills;
pub(crate) mod load;
pub(crate) mod master_keys;
pub(crate) mod outage;
pub(crate) mod parts;
pub(crate) mod provider;
pub(crate) mod raw;
pub(crate) mod scrape;
pub(crate) mod seal_format;
pub(crate) mod sqlite_tables;
pub(crate) mod tls;
pub(crate) mod webhook_receiver;
