//! The network around the server: connections, hosts, TLS, proxies, and requests that are no calls yet.
//!
//! No database has a part in it, so it runs once, on SQLite.

mod bodies;
mod certificates;
mod connections;
mod hosts;
mod outbound;
mod providers;
mod proxies;
mod sizes;
mod smuggling;
