//! The network around the server: connections, hosts, TLS, proxies, and connections that never become a request.
//!
//! They do not depend on the database, so these tests run once, on SQLite.

mod bodies;
mod certificates;
mod connections;
mod hosts;
mod outbound;
mod providers;
mod proxies;
mod request_ids;
mod sizes;
mod smuggling;
